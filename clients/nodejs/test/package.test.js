'use strict';

const assert = require('node:assert/strict');
const { readFileSync } = require('node:fs');
const path = require('node:path');
const { it } = require('node:test');

it('require, import and the types have the same names', async () => {
  const required = require('distributed-lock-client');
  const imported = await import('distributed-lock-client');
  assert.deepEqual(Object.keys(imported).sort(), Object.keys(required).sort());
  assert.equal(imported.DistributedLockClient, required.DistributedLockClient);
  assert.equal(required, require('../client'));
  const types = readFileSync(path.join(__dirname, '../client.d.ts'), 'utf8');
  const declared = [...types.matchAll(/^export class (\w+)/gm)].map(([, name]) => name);
  assert.deepEqual(declared.sort(), Object.keys(required).sort());
});

it('every error has a code of its own', () => {
  const all = Object.values(require('../client')).filter((type) => type.prototype instanceof Error);
  const codes = all.map((Type) => new /** @type {any} */ (Type)('what').code);
  assert.equal(new Set(codes).size, 19);
  const types = readFileSync(path.join(__dirname, '../client.d.ts'), 'utf8');
  for (const code of codes) assert.ok(types.includes(code), code);
});

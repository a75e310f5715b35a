'use strict';

const assert = require('node:assert/strict');
const { execFile } = require('node:child_process');
const { readFileSync, readdirSync } = require('node:fs');
const path = require('node:path');
const { it } = require('node:test');
const { promisify } = require('node:util');
const { real, url } = require('./kit/service');

const folder = path.join(__dirname, '../examples');

/** What each one prints. @type {Record<string, string[]>} */
const printed = {
  'mutual-exclusion.js': ['at most 1 at once'],
  'leader-election.js': ['node-1 leads', 'node-2 follows node-1', 'node-2 leads'],
  'resource-pool.js': ['at most five at once: true'],
  'fencing.js': ['written: by the next', 'refused: by the late one'],
  'stop-on-loss.js': ['stopped after some steps: LOCK_LOST'],
};

for (const file of readdirSync(folder)) {
  it(file, real, async () => {
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [path.join(folder, file)], {
      timeout: 10_000,
    });
    assert.deepEqual([stdout.trim().split('\n'), stderr], [printed[file], '']);
  });
}

it('the snippets of the README', real, async () => {
  const readme = readFileSync(path.join(__dirname, '../README.md'), 'utf8');
  const snippets = [...readme.matchAll(/^```js\n(.*?)^```/gms)].map(([, text]) => text);
  assert.ok(snippets.length >= 2);
  const text = snippets.join('').replaceAll('http://localhost:5000', url);
  const program = `(async () => {${text}})().then(() => console.log('done'))`;
  const cwd = path.join(__dirname, '../../..');
  const { stdout } = await promisify(execFile)(process.execPath, ['-e', program], { cwd, timeout: 10_000 });
  assert.match(stdout, /^Lock acquired: .{22,}\ndone\n$/);
});

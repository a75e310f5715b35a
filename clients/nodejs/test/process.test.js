'use strict';

const assert = require('node:assert/strict');
const { execFile } = require('node:child_process');
const path = require('node:path');
const { it } = require('node:test');
const { promisify } = require('node:util');
const { client, free, real, unique } = require('./kit/service');

const run = promisify(execFile);
const cwd = path.join(__dirname, '..');

/** Runs a program of its own, which has 10 s to end by itself. @param {string} text @param {string} name */
async function program(text, name) {
  const head = `
    const { DistributedLockClient } = require('./client');
    const client = new DistributedLockClient(process.env.LOCKD_URL);
    const name = ${JSON.stringify(name)};
    process.on('unhandledRejection', () => process.exit(70));`;
  const { stdout } = await run(process.execPath, ['-e', `${head}(async () => {${text}})();`], { cwd, timeout: 10_000 });
  return stdout.trim();
}

it('a lock that is held keeps no process alive, nor does its renewal or an open connection', real, async () => {
  const begin = performance.now();
  const text = "await client.acquire(name, 60_000, { autoRenew: true }); console.log('held');";
  assert.equal(await program(text, unique()), 'held');
  assert.ok(performance.now() - begin < 5000);
});

it('a call that waits does, and so does using', real, async () => {
  const waits = `
    const lock = await client.acquire(name);
    await client.acquire(name, 1000, { waitMs: 700 }).catch((error) => console.log(error.code));
    await client.using(name + '/2', { ttlMs: 300, autoRenew: false }, (signal) => new Promise((resolve) => {
      signal.addEventListener('abort', resolve);
    })).catch((error) => console.log(error.code));
    await lock.release();`;
  assert.equal(await program(waits, unique()), 'LOCK_TIMEOUT\nLOCK_LOST');
});

it('what is aborted as the process ends leaves nothing behind', real, async (t) => {
  const [sdk, name] = [client(t), unique()];
  const text = `
    await client.acquire(name + '/warm', 100);
    const stop = new AbortController();
    for (let i = 0; i < 50; i++) client.acquire(name, 60_000, { signal: stop.signal }).catch(() => {});
    setImmediate(() => stop.abort());`;
  await program(text, name);
  await free(sdk, name);
});

it('close in the middle of everything leaves no rejection unhandled', real, async (t) => {
  const [sdk, name] = [client(t), unique()];
  const text = `
    const stop = new AbortController();
    const calls = [];
    for (const [i, other] of [client, new DistributedLockClient(process.env.LOCKD_URL, { webSocket: false })].entries()) {
      for (let j = 0; j < 20; j++) {
        calls.push(other.acquire(name + j, 60_000, { signal: stop.signal, autoRenew: true }).then((lock) => lock.renew()));
        calls.push(other.using(name + j, async () => {}), other.status(name), other.subscribe().next());
      }
      setTimeout(() => stop.abort(), 20);
      setTimeout(() => other.close(), 10 + 20 * i);
    }
    console.log((await Promise.allSettled(calls)).length);`;
  assert.equal(await program(text, name), '160');
  for (let j = 0; j < 20; j++) await free(sdk, name + j);
});

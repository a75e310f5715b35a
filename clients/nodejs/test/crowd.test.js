'use strict';

const assert = require('node:assert/strict');
const { createHook } = require('node:async_hooks');
const { it } = require('node:test');
const { client, eventually, real, unique, url, adminToken, ways } = require('./kit/service');
const { startProxy } = require('./kit/proxy');
const { DistributedLockClient } = require('../client');

// Timers and sockets that live, unref'd or not.
const LIVING = new Set(['Timeout', 'TCPWRAP', 'TCPCONNECTWRAP', 'GETADDRINFOREQWRAP']);
/** @type {Set<number>} */
const living = new Set();
createHook({
  init: (id, type) => void (LIVING.has(type) && living.add(id)),
  destroy: (id) => void living.delete(id),
}).enable();

const TASKS = 500;

for (const { over, options } of ways) {
  it(`${TASKS} tasks through one client leave no socket, timer or lock behind, over ${over}`, real, async (t) => {
    const proxy = await startProxy(t, url);
    const before = new Set(living);
    const [judge, name] = [client(t), unique('crowd')];
    const sdk = new DistributedLockClient(proxy.url, { token: adminToken, ...options });
    let inside = 0;
    let most = 0;
    const tasks = Array.from({ length: TASKS }, async (_, i) => {
      await sdk.using(`${name}/own/${i}`, async () => {
        const permit = await sdk.acquire(`${name}/pool`, 60_000, { limit: 20, waitMs: 60_000 });
        most = Math.max(most, ++inside);
        await new Promise(setImmediate);
        inside--;
        await permit.release();
      });
    });
    await Promise.all(tasks);
    assert.ok(most > 1 && most <= 20, `${most} at once`);
    if (over === 'WebSocket') assert.equal(proxy.opened, 1);
    const left = [];
    for await (const lock of judge.list(name)) left.push(lock.lockName);
    assert.deepEqual(left, []);
    await Promise.all([sdk.close(), judge.close()]);
    await eventually('no socket is left', () => proxy.live === 0, 3000);
    const more = () => [...living].filter((id) => !before.has(id)).length;
    await eventually('no timer is left', () => more() <= 1, 3000); // that of the looking itself
  });
}

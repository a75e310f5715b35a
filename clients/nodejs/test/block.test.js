'use strict';

const assert = require('node:assert/strict');
const { describe, it } = require('node:test');
const { setTimeout: sleep } = require('node:timers/promises');
const { inspect } = require('node:util');
const { LockLostError, LockReleasedError, InvalidArgumentError } = require('../client');
const { aborted, client, eventually, free, real, unique, ways } = require('./kit/service');

describe('using', real, () => {
  for (const { over, options } of ways) {
    it(`holds the lock while the function runs, over ${over}`, async (t) => {
      const [sdk, other, name] = [client(t, options), client(t), unique()];
      const result = await sdk.using(name, async (signal, lock) => {
        assert.equal(signal, lock.signal);
        assert.equal(await other.tryAcquire(name, 1000), null);
        const { holders } = await other.status(name);
        assert.deepEqual([holders[0].fencingToken, holders[0].ownerId], [lock.fencingToken, lock.ownerId]);
        return 42;
      });
      assert.equal(result, 42);
      await free(other, name);
    });
  }

  it('passes an error of the function through, and releases', async (t) => {
    const [sdk, name, wrong] = [client(t), unique(), new TypeError('mine')];
    const failing = sdk.using(name, () => {
      throw wrong;
    });
    await assert.rejects(failing, (error) => error === wrong);
    assert.equal((await sdk.status(name)).locked, false);
  });

  it('aborts the signal on loss, and rejects', async (t) => {
    const [sdk, name] = [client(t), unique()];
    const lost = sdk.using(name, { ttlMs: 60_000 }, async (signal) => {
      await sdk.forceRelease(name, 'test');
      throw await aborted(signal);
    });
    await assert.rejects(lost, LockLostError);
  });

  it('rejects on loss even where the function takes no notice', async (t) => {
    const [sdk, name] = [client(t), unique()];
    const lost = sdk.using(name, async (signal) => {
      await sdk.forceRelease(name, 'test');
      await aborted(signal);
      return 'went on';
    });
    await assert.rejects(lost, { code: 'LOCK_LOST', lockName: name });
  });

  it('passes on the error of a function that lost its lock', async (t) => {
    const [sdk, name, wrong] = [client(t), unique(), new TypeError('mine')];
    const failing = sdk.using(name, async (signal) => {
      await sdk.forceRelease(name, 'test');
      await aborted(signal);
      throw wrong;
    });
    await assert.rejects(failing, (error) => error === wrong);
  });

  it('renews the lease unless told not to', async (t) => {
    const [sdk, name] = [client(t), unique()];
    await sdk.using(name, { ttlMs: 300 }, async (signal, lock) => {
      assert.equal(lock.autoRenew, true);
      await sleep(1000);
      assert.ok(lock.held && !signal.aborted && lock.leftMs > 0);
    });
    const lost = sdk.using(name, { ttlMs: 300, autoRenew: false }, (signal) => aborted(signal));
    await assert.rejects(lost, LockLostError);
  });

  it('refuses what is no function before anything is asked for', async (t) => {
    const [sdk, name] = [client(t), unique()];
    // @ts-expect-error: so that a program in JavaScript is told
    await assert.rejects(sdk.using(name, {}), InvalidArgumentError);
    assert.equal((await sdk.status(name)).locked, false);
  });
});

describe('a lock', real, () => {
  it('is released once, by whatever name', async (t) => {
    const [sdk, name] = [client(t), unique()];
    const lock = await sdk.acquire(name, 30_000);
    const { signal } = lock;
    await Promise.all([lock.release(), lock.release()]);
    assert.ok(!lock.held && !lock.lost && lock.leftMs === 0);
    assert.ok(signal.reason instanceof LockReleasedError && lock.signal === signal);
    assert.throws(() => lock.ensureHeld(), LockReleasedError);
    await assert.rejects(lock.renew(), LockReleasedError);
    const next = await sdk.acquire(name, 30_000);
    await lock.release(); // of what is another's by now
    await lock[Symbol.asyncDispose]();
    assert.ok((await sdk.status(name)).fencingToken === next.fencingToken && next.fencingToken > lock.fencingToken);
    await next[Symbol.asyncDispose]();
    assert.equal((await sdk.status(name)).locked, false);
  });

  for (const { over, options } of ways) {
    it(`is lost before its lease ends, a hundred times over ${over}`, async (t) => {
      const [sdk, watcher, name] = [client(t, options), client(t), unique()];
      const events = watcher.subscribe(`${name}/*`);
      /** When each was told, by the wall clock, which Redis goes by too. @type {Map<number, number>} */
      const told = new Map();
      let ended = 0;
      for (let i = 0; i < 100; i++) {
        void sdk.acquire(`${name}/${i}`, 1500).then(async (lock) => {
          const reason = await aborted(lock.signal);
          told.set(lock.fencingToken, Date.now());
          assert.ok(reason instanceof LockLostError && lock.lost && lock.leftMs === 0);
        });
      }
      for await (const { kind, fencingToken = 0, at } of events) {
        if (kind !== 'expired') continue;
        const before = Date.parse(at) - (told.get(fencingToken) ?? Infinity);
        assert.ok(before > 0, `told ${-before} ms after the end`);
        told.delete(fencingToken);
        if (++ended === 100) break;
      }
    });
  }

  it('has its lease renewed, and lost when it is not', async (t) => {
    const [sdk, name] = [client(t), unique()];
    const lock = await sdk.acquire(name, 1000);
    await lock.renew(20_000);
    assert.ok(lock.leftMs > 15_000 && lock.leftMs <= 20_000);
    assert.ok((await sdk.status(name)).holders[0].ttlMs > 15_000);
    await lock.renew(200);
    await aborted(lock.signal);
    await assert.rejects(lock.renew(), LockLostError);
    await assert.rejects(lock.release(), LockLostError);
  });

  it('is renewed until maxHoldMs, and never after its release', async (t) => {
    const [sdk, name] = [client(t), unique()];
    const options = { autoRenew: true, maxHoldMs: 500 };
    const lock = await sdk.acquire(name, 300, options);
    const begin = performance.now();
    assert.ok((await aborted(lock.signal)) instanceof LockLostError);
    assert.ok(performance.now() - begin > 500, 'renewed for too short');
    const events = sdk.subscribe(`${name}/2`, ['renewed', 'released']);
    const short = await sdk.acquire(`${name}/2`, 300, { autoRenew: true });
    for await (const { kind } of events) if (kind === 'renewed') break;
    await short.release();
    const after = sdk.subscribe(`${name}/2`);
    const other = await sdk.acquire(`${name}/2`, 300);
    for await (const { kind, fencingToken } of after) {
      assert.ok(kind !== 'renewed');
      if (kind === 'expired' && fencingToken === other.fencingToken) break;
    }
  });

  it('shows no secrets', async (t) => {
    const logged = /** @type {unknown[]} */ ([]);
    const log = (/** @type {string} */ message, /** @type {object} */ fields) => logged.push(message, fields);
    const logger = { debug: log, warn: log };
    const [sdk, name] = [client(t, { logger }), unique()];
    const lock = await sdk.acquire(name, 30_000, { metadata: { who: 'Ada' } });
    const { lockId, renewalToken } = lock;
    const shown = inspect(lock) + inspect({ lock }, { depth: 9, showHidden: true }) + JSON.stringify(lock) + lock;
    assert.ok(shown.includes(name) && shown.includes('Ada') && shown.includes(String(lock.fencingToken)));
    await sdk.forceRelease(name, 'test');
    await aborted(lock.signal);
    const error = await lock.release().catch((e) => e);
    const all = shown + inspect(error, { depth: 9, showHidden: true }) + inspect(sdk, { depth: 9 }) + inspect(logged);
    assert.match(inspect(logged), /lock lost/);
    for (const secret of [lockId, renewalToken, process.env.LOCKD_ADMIN_TOKEN]) {
      assert.ok(secret && !all.includes(secret));
    }
  });

  it('given back by its id, or renewed by its token, by a program that kept them', async (t) => {
    for (const { options } of ways) {
      const [sdk, name] = [client(t, options), unique()];
      const { lockId, renewalToken, fencingToken } = await sdk.acquire(name, 2000);
      const renewal = await sdk.renew(name, renewalToken, 20_000);
      assert.ok(renewal.fencingToken === fencingToken && renewal.ttlMs > 15_000 && Date.parse(renewal.expiresAt));
      assert.ok((await sdk.release(name, lockId)) >= 0);
      await assert.rejects(sdk.release(name, lockId), { code: 'LOCK_LOST', status: 410, lockName: name });
      await assert.rejects(sdk.renew(name, renewalToken), LockLostError);
    }
  });

  it('knows of its loss at once after the process was busy', async (t) => {
    const [sdk, name] = [client(t), unique()];
    const lock = await sdk.acquire(name, 200);
    const { signal } = lock;
    for (const end = performance.now() + 250; performance.now() < end;); // no timer can fire
    assert.equal(signal.aborted, false);
    assert.equal(lock.held, false);
    assert.ok(signal.aborted && lock.lost);
    await eventually('the service agrees', async () => !(await sdk.status(name)).locked);
  });
});

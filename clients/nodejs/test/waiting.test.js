'use strict';

const assert = require('node:assert/strict');
const { describe, it } = require('node:test');
const { setTimeout: sleep } = require('node:timers/promises');
const { ClientClosedError, LockHeldError, LockTimeoutError } = require('../client');
const { client, eventually, free, queue, real, unique, ways } = require('./kit/service');

for (const { over, options } of ways) {
  describe(`waiting over ${over}`, real, () => {
    it('ends with the release, in the order of the line', async (t) => {
      const [sdk, name] = [client(t, options), unique()];
      const first = await sdk.acquire(name);
      /** @type {number[]} */
      const order = [];
      const rest = [];
      for (let i = 0; i < 5; i++) {
        rest.push(sdk.using(name, () => void order.push(i)));
        await queue(sdk, name, i + 1);
      }
      assert.deepEqual(order, []);
      await first.release();
      await Promise.all(rest);
      assert.deepEqual(order, [0, 1, 2, 3, 4]);
    });

    it('not at all: tryAcquire, and waitMs 0', async (t) => {
      const [sdk, name] = [client(t, options), unique()];
      const lock = await sdk.tryAcquire(name, 30_000, { metadata: { job: 'nightly' } });
      assert.ok(lock?.held);
      assert.equal(await sdk.tryAcquire(name, 30_000), null);
      const error = await sdk.acquire(name, 30_000, { waitMs: 0 }).catch((e) => e);
      assert.ok(error instanceof LockHeldError && error instanceof LockTimeoutError && error.code === 'LOCK_HELD');
      assert.deepEqual([error.serviceCode, error.status, error.queueLength], ['lock_held', 409, 0]);
      assert.deepEqual(error.holders[0].metadata, { job: 'nightly' });
      assert.ok(error.message.includes(name) && error.message.includes(sdk.clientId), error.message);
      assert.match(error.stack ?? '', /waiting\.test\.js/, 'the stack is its caller’s');
    });

    it('is told when it was in vain', async (t) => {
      const [sdk, name] = [client(t, options), unique()];
      await sdk.acquire(name);
      const begin = performance.now();
      const error = await sdk.acquire(name, 1000, { waitMs: 300 }).catch((e) => e);
      assert.ok(performance.now() - begin >= 290);
      assert.ok(
        error instanceof LockTimeoutError && !(error instanceof LockHeldError) && error.code === 'LOCK_TIMEOUT',
      );
      assert.ok(error.holders[0].clientId === sdk.clientId && (error.waitTimeMs ?? 0) >= 290);
      assert.equal((await sdk.status(name)).queueLength, 0);
    });

    it('leaves the line when it is aborted, and rejects with the reason at once', async (t) => {
      const [sdk, name, why] = [client(t, options), unique(), new Error('had enough')];
      const holder = await sdk.acquire(name);
      const stop = new AbortController();
      const waits = sdk.acquire(name, 1000, { signal: stop.signal, waitMs: Infinity });
      await queue(sdk, name, 1);
      stop.abort(why);
      const begin = performance.now();
      await assert.rejects(waits, (error) => error === why);
      assert.ok(performance.now() - begin < 100);
      await queue(sdk, name, 0);
      await assert.rejects(sdk.acquire(name, 1000, { signal: stop.signal }), (error) => error === why);
      await assert.rejects(sdk.acquire(name, 1000, { signal: AbortSignal.timeout(50) }), { name: 'TimeoutError' });
      await holder.release();
      await free(sdk, name);
    });

    it('leaves nothing held where aborts cross grants', async (t) => {
      const [sdk, judge, name] = [client(t, options), client(t), unique()];
      const tasks = Array.from({ length: 40 }, async (_, i) => {
        for (let j = 0; j < 8; j++) {
          const stop = new AbortController();
          const wait = sdk.acquire(`${name}/${j % 3}`, 60_000, { signal: stop.signal }).then((lock) => lock.release());
          const end = sleep((i * j) % 7).then(() => stop.abort(new Error('enough')));
          await Promise.all([wait.catch((error) => assert.equal(error.message, 'enough')), end]);
        }
      });
      await Promise.all(tasks);
      for (let j = 0; j < 3; j++) await free(judge, `${name}/${j}`);
    });

    it('ends with the client, which gives all back', async (t) => {
      const [sdk, judge, name] = [client(t, options), client(t), unique()];
      const locks = await Promise.all(Array.from({ length: 30 }, (_, i) => sdk.acquire(`${name}/${i}`, 60_000)));
      const waits = locks.map((lock) => sdk.acquire(lock.name));
      for (const wait of waits) wait.catch(() => {});
      await eventually('all wait', async () => (await judge.status(`${name}/29`)).queueLength === 1);
      const begin = performance.now();
      await Promise.all([sdk.close(), sdk.close()]);
      assert.ok(performance.now() - begin < 1900, 'waited in vain');
      for (const wait of waits) await assert.rejects(wait, ClientClosedError);
      for (const lock of locks) {
        const { locked, queueLength } = await judge.status(lock.name);
        assert.ok(!locked && queueLength === 0 && !lock.held && lock.signal.aborted);
        await lock.release();
      }
      await assert.rejects(sdk.acquire(name), { code: 'CLIENT_CLOSED' });
      await assert.rejects(sdk.status(name), ClientClosedError);
      await assert.rejects(sdk.list().next(), ClientClosedError);
      assert.throws(() => sdk.subscribe(), ClientClosedError);
    });

    it('with the same requestId is the same grant', async (t) => {
      const [sdk, name] = [client(t, options), unique()];
      const same = { owner: 'o', requestId: 'r-1' };
      const [one, two] = await Promise.all([sdk.acquire(name, 5000, same), sdk.acquire(name, 5000, same)]);
      assert.deepEqual([one.lockId, one.fencingToken], [two.lockId, two.fencingToken]);
      await assert.rejects(sdk.acquire(name, 6000, same), { code: 'REQUEST_MISMATCH', status: 422, requestId: 'r-1' });
      await one.release();
      await free(sdk, name);
    });

    it('shared, and by permits', async (t) => {
      const [sdk, name] = [client(t, options), unique()];
      const readers = [
        await sdk.acquire(name, 5000, { shared: true }),
        await sdk.acquire(name, 5000, { shared: true }),
      ];
      assert.equal(await sdk.tryAcquire(name, 5000), null);
      for (const reader of readers) await reader.release();
      const pool = unique('pool');
      for (let i = 0; i < 3; i++) await sdk.acquire(pool, 5000, { limit: 3 });
      assert.equal(await sdk.tryAcquire(pool, 5000, { limit: 3 }), null);
      await assert.rejects(sdk.acquire(pool, 5000, { limit: 4 }), { code: 'LIMIT_MISMATCH', limit: 3 });
    });
  });
}

it('onQueued tells the place as the line moves', real, async (t) => {
  const [sdk, name] = [client(t), unique()];
  const first = await sdk.acquire(name, 30_000, { metadata: { who: 'Ada' } });
  const second = sdk.acquire(name);
  await queue(sdk, name, 1);
  /** @type {import('../client').Place[]} */
  const places = [];
  const third = sdk.acquire(name, 30_000, { onQueued: (place) => places.push(place) });
  await eventually('the place is told', () => places.length === 1);
  assert.equal(places[0].position, 2);
  assert.deepEqual(places[0].holders[0].metadata, { who: 'Ada' });
  await sleep(600); // who has waited for less is not told of moves
  await first.release();
  await eventually('the move is told', () => places.length === 2);
  assert.equal(places[1].position, 1);
  await (await second).release();
  const lock = await third;
  assert.ok(lock.waitedMs >= 600);
  await lock.release();
});

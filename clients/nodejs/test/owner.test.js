'use strict';

const assert = require('node:assert/strict');
const { it } = require('node:test');
const { DeadlockError, LockTimeoutError } = require('../client');
const { aborted, client, queue, real, unique } = require('./kit/service');

it('each acquire is an owner of its own', real, async (t) => {
  const [sdk, name] = [client(t), unique()];
  const [a, b] = await Promise.all([sdk.acquire(`${name}/a`), sdk.acquire(`${name}/b`)]);
  assert.notEqual(a.ownerId, b.ownerId);
  await assert.rejects(sdk.acquire(a.name, 1000, { waitMs: 200 }), LockTimeoutError); // waits, and is no deadlock
});

it('what is acquired inside of using is the same owner’s, however deep and late', real, async (t) => {
  const [sdk, name] = [client(t), unique()];
  await sdk.using(`${name}/a`, async (_, outer) => {
    const begin = performance.now();
    const again = sdk.acquire(outer.name);
    const error = await again.catch((e) => e);
    assert.ok(error instanceof DeadlockError && error.code === 'DEADLOCK' && error.status === 409);
    assert.ok(performance.now() - begin < 2000);
    const [step] = error.cycle;
    assert.equal(error.cycle.length, 1);
    assert.deepEqual([step.ownerId, step.holds, step.waitsFor], [outer.ownerId, outer.name, outer.name]);
    await Promise.all(
      ['b', 'c'].map(async (letter) => {
        await new Promise(setImmediate);
        await sdk.using(`${name}/${letter}`, (_, inner) => assert.equal(inner.ownerId, outer.ownerId));
      }),
    );
    assert.equal(await sdk.tryAcquire(outer.name), null);
  });
  await sdk.using(`${name}/a`, () => {}); // and outside it is not
});

it('withOwner names an owner, and the option goes before it', real, async (t) => {
  const [sdk, name] = [client(t), unique()];
  const lock = await sdk.withOwner('task-7', async () => {
    await new Promise(setImmediate);
    return sdk.acquire(name);
  });
  assert.equal(lock.ownerId, 'task-7');
  const other = await sdk.withOwner('task-7', () => sdk.acquire(`${name}/2`, 1000, { owner: 'task-8' }));
  assert.equal(other.ownerId, 'task-8');
  await sdk.using(`${name}/3`, (_, { ownerId }) =>
    sdk.withOwner('branch', async () => {
      const inner = await sdk.acquire(`${name}/4`);
      assert.ok(inner.ownerId === 'branch' && ownerId !== 'branch');
      await inner.release();
    }),
  );
});

it('a circle of two owners is told to the one who closes it', real, async (t) => {
  const [sdk, name] = [client(t), unique()];
  /** @type {Promise<import('../client').Lock>} */
  let other = Promise.reject();
  other.catch(() => {});
  await sdk.using(`${name}/x`, async () => {
    other = sdk.withOwner('other', () =>
      sdk.using(`${name}/y`, async () => {
        const waiting = sdk.acquire(`${name}/x`);
        await queue(sdk, `${name}/x`, 1);
        return waiting;
      }),
    );
    await queue(sdk, `${name}/x`, 1);
    const error = await sdk.acquire(`${name}/y`).catch((e) => e);
    assert.ok(error instanceof DeadlockError);
    assert.deepEqual(error.cycle.map((step) => step.holds).sort(), [`${name}/x`, `${name}/y`]);
  });
  await (await other).release();
});

it('a listener of a loss is in no owner’s context, whoever opened the connection', real, async (t) => {
  const [sdk, name] = [client(t), unique()];
  // Opens the connection within an owner's context.
  const lock = await sdk.withOwner('first', () => sdk.acquire(name, 30_000));
  /** @type {Promise<string>} */
  const owner = new Promise((resolve, reject) => {
    lock.signal.addEventListener('abort', () => {
      sdk.acquire(`${name}/2`).then((next) => resolve(next.ownerId), reject);
    });
  });
  await sdk.forceRelease(name, 'test');
  await aborted(lock.signal);
  assert.notEqual(await owner, 'first');
});

it('onQueued is called in its caller’s context', real, async (t) => {
  const [sdk, name] = [client(t), unique()];
  const holder = await sdk.acquire(name);
  /** @type {string | undefined} */
  let told;
  const waiter = await sdk.withOwner('asker', () => {
    const onQueued = async () => {
      const inner = await sdk.acquire(`${name}/2`);
      told = inner.ownerId;
      await inner.release();
      await holder.release();
    };
    return sdk.acquire(name, 30_000, { onQueued });
  });
  assert.equal(told, 'asker');
  await waiter.release();
});

'use strict';

const assert = require('node:assert/strict');
const { it } = require('node:test');
const { ClientClosedError, InvalidArgumentError, LockServiceUnavailable } = require('../client');
const { startProxy } = require('./kit/proxy');
const { client, eventually, real, unique, url } = require('./kit/service');

/**
 * Acquires and releases until the subscription tells of it.
 * @param {import('../client').DistributedLockClient} actor
 * @param {import('../client').LockEvents} events
 * @param {string} name
 */
async function probe(actor, events, name) {
  /** @type {Promise<IteratorResult<import('../client').LockEvent>>} */
  const first = events.next();
  let told = false;
  void first.then(() => (told = true));
  await eventually('the subscription is there', async () => {
    await (await actor.acquire(name)).release();
    return told;
  });
  return (await first).value;
}

/** The next event of a kind. @param {import('../client').LockEvents} events @param {string} kind @param {string} [name] */
async function nextOf(events, kind, name) {
  for (;;) {
    const { value, done } = await events.next();
    assert.ok(!done);
    if (value.kind === kind && value.lockName === name) return value;
  }
}

it('tells of its locks, goes on over a broken connection with a gap, and ends by its signal', real, async (t) => {
  const proxy = await startProxy(t, url);
  const [sdk, actor, name] = [client(t, {}, proxy.url), client(t), unique('events')];
  const stop = new AbortController();
  const events = sdk.subscribe(`${name}/*`, ['granted', 'released'], { signal: stop.signal });
  await probe(actor, events, `${name}/probe`);
  const lock = await actor.acquire(`${name}/1`);
  const granted = await nextOf(events, 'granted', lock.name);
  assert.deepEqual([granted.fencingToken, granted.ownerId], [lock.fencingToken, lock.ownerId]);
  assert.ok(granted.seq && Date.parse(granted.at));
  proxy.cut();
  assert.ok(Date.parse((await nextOf(events, 'gap')).at));
  await lock.release();
  await nextOf(events, 'released', lock.name);
  const pending = events.next();
  stop.abort();
  assert.deepEqual(await pending, { done: true, value: undefined });
  assert.equal((await events.next()).done, true);
});

it('is left with its loop', real, async (t) => {
  const [sdk, actor, name] = [client(t), client(t), unique('events')];
  const events = sdk.subscribe([name]);
  await probe(actor, events, name);
  await actor.acquire(name);
  for await (const event of events) {
    assert.equal(event.lockName, name);
    break;
  }
  assert.equal((await events.next()).done, true);
  await events[Symbol.asyncDispose]();
});

it('ends with its client, with what the service refuses, and without a WebSocket', real, async (t) => {
  const sdk = client(t);
  const open = sdk.subscribe();
  const next = assert.rejects(
    (async () => {
      for await (const { at } of open) assert.ok(at);
    })(),
    ClientClosedError,
  );
  // @ts-expect-error: so that a program in JavaScript is told
  await assert.rejects(sdk.subscribe('*', ['nonsense']).next(), InvalidArgumentError);
  await sdk.close();
  await next;
  await assert.rejects(client(t, { webSocket: false }).subscribe().next(), LockServiceUnavailable);
});

'use strict';

const assert = require('node:assert/strict');
const { it } = require('node:test');
const sdk = require('../client');
const { client, eventually, real, unique } = require('./kit/service');
const { startFake } = require('./kit/fake');

it('what is misspelt or of the wrong kind is refused before anything is sent', async (t) => {
  const fake = await startFake(t);
  const made = /** @type {any} */ (fake.client());
  const wrong = [
    ['x', '30'],
    ['x', NaN],
    ['x', -1],
    ['x', Infinity],
    ['x', 1000, { wait: 5 }],
    ['x', 1000, { waitMs: '5' }],
    ['x', 1000, { limit: 1.5 }],
    ['x', 1000, { metadata: 'text' }],
    ['x', 1000, { metadata: { big: 1n } }],
    ['x', 1000, { owner: '' }],
    ['x', 1000, { requestId: '\ud800' }],
    ['x', 1000, { signal: {} }],
    ['x', 1000, { onQueued: 5 }],
    ['x', 1000, null],
    [7, 1000],
    ['..', 1000],
  ];
  for (const args of wrong) {
    const error = await made.acquire(...args).catch((/** @type {any} */ e) => e);
    assert.ok(error instanceof sdk.InvalidArgumentError, `${args}: ${error}`);
    assert.ok(
      error.code === 'INVALID_ARGUMENT' && error.fields.length === 1 && error.message.includes('Nothing was sent'),
    );
  }
  await assert.rejects(made.tryAcquire('x', 1000, { waitMs: 5 }), sdk.InvalidArgumentError);
  await assert.rejects(
    made.using('x', { ttl: 5 }, () => {}),
    sdk.InvalidArgumentError,
  );
  await assert.rejects(made.status('.'), sdk.InvalidArgumentError);
  await assert.rejects(made.release('x'), sdk.InvalidArgumentError);
  assert.throws(() => made.withOwner('', () => {}), sdk.InvalidArgumentError);
  assert.throws(() => made.subscribe([]), sdk.InvalidArgumentError);
  assert.deepEqual(fake.heard, []);
});

it('a client of a wrong URL or option is not made', () => {
  for (const url of ['localhost:5000', 'ftp://x', '', 'http://user:password@host']) {
    assert.throws(() => new sdk.DistributedLockClient(url), sdk.InvalidArgumentError);
  }
  const make = (/** @type {any} */ options) => new sdk.DistributedLockClient('http://localhost', options);
  for (const options of [{ tokn: 'x' }, { clientId: '' }, { endpoints: 'http://x' }, { httpTimeoutMs: 0 }]) {
    assert.throws(() => make(options), sdk.InvalidArgumentError);
  }
});

it('errors are told apart by class and code, and carry what the service said', real, async (t) => {
  const [made, other, name] = [client(t), client(t), unique()];
  const lock = await made.acquire(name, 30_000);
  const cases = /** @type {const} */ ([
    [() => made.acquire(name, 3_600_000), sdk.InvalidArgumentError, { status: 400, code: 'INVALID_ARGUMENT' }],
    [() => other.release(name, lock.lockId), sdk.NotOwnerError, { status: 403, code: 'NOT_OWNER' }],
    [() => other.renew(name, lock.renewalToken), sdk.NotOwnerError, { status: 403, code: 'NOT_OWNER' }],
    [() => made.forceRelease(unique()), sdk.NotLockedError, { status: 404, code: 'NOT_LOCKED' }],
    [
      () => client(t, { token: 'wrong' }).forceRelease(name),
      sdk.UnauthorizedError,
      { status: 401, code: 'UNAUTHORIZED' },
    ],
    [() => made.acquire(unique(), 5000, { metadata: { text: 'x'.repeat(5000) } }), sdk.InvalidArgumentError, {}],
    [
      () => made.acquire(unique(), 5000, { metadata: { text: 'x'.repeat(70_000) } }),
      sdk.TooLargeError,
      { status: 413 },
    ],
  ]);
  for (const [call, type, fields] of cases) {
    const error = /** @type {any} */ (await /** @type {Promise<unknown>} */ (call()).catch((e) => e));
    assert.equal(error.constructor, type, String(error));
    assert.equal(error.name, type.name);
    assert.ok(error.serviceCode && error.title && error.message.includes(error.detail));
    for (const [key, value] of Object.entries(fields)) assert.equal(error[key], value);
  }
  const { fields } = await made.acquire(name, 3_600_000).catch((e) => e);
  assert.equal(fields[0].field, 'timeout');
  assert.ok(lock.held && (await made.forceRelease(name, 'test'))[0].fencingToken === lock.fencingToken);
  await eventually('the loss is told', () => lock.lost);
});

it('the reads over REST', real, async (t) => {
  const [made, prefix] = [client(t), unique('list')];
  const names = Array.from({ length: 7 }, (_, i) => `${prefix}/a b+ü/%2F?#${i}`);
  await Promise.all(names.map((name) => made.acquire(name, 30_000, { shared: true })));
  const listed = [];
  for await (const lock of made.list(prefix)) listed.push(lock.lockName);
  assert.deepEqual(listed.sort(), names.sort());
  for await (const lock of made.list(prefix)) {
    assert.ok(lock.locked && lock.mode === 'shared');
    break;
  }
  const { holders, lockName, queueLength } = await made.status(names[0]);
  assert.deepEqual([holders.length, lockName, queueLength], [1, names[0], 0]);
  assert.equal((await made.status(unique())).locked, false);
  await eventually('the statistics count them', async () => (await made.stats()).activeLocks >= 7);
  assert.ok(Array.isArray((await made.graph()).edges));
  assert.match(await made.graphDot(), /^digraph/);
  assert.equal((await made.health()).status, 'ok');
});

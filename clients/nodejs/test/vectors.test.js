'use strict';

const assert = require('node:assert/strict');
const { describe, it } = require('node:test');
const errors = require('../client');
const { ServiceClock } = require('../lib/clock');
const { fromProblem, retryable } = require('../lib/errors');
const { Lease } = require('../lib/lease');
const { checkName, lockPath } = require('../lib/names');
const { backoff } = require('../lib/timing');
const { startFake, grant } = require('./kit/fake');
const { vectors } = require('./kit/vectors');
require('./kit/service');

/** Holds what there is against what is wanted; fields of later versions may be there or not. */
function compare(/** @type {any} */ got, /** @type {any} */ wanted) {
  for (const [key, value] of Object.entries(wanted)) {
    if (key === 'newExtra') continue;
    const near = typeof value === 'number' && Math.abs((got[key] ?? 0) - value) < 0.001;
    if (!near) assert.deepEqual(JSON.parse(JSON.stringify(got[key] ?? null, withoutFuture)), value, key);
  }
}

const withoutFuture = (/** @type {string} */ key, /** @type {any} */ value) => (key === 'future' ? undefined : value);

describe('names', () => {
  for (const vector of vectors('names.json')) {
    if (vector.bytes) continue; // strings here are UTF-16
    const name = vector.name ?? String.fromCharCode(...vector.utf16);
    it(`${JSON.stringify(name).slice(0, 40)} is ${vector.legal ? 'legal' : vector.why}`, () => {
      if (!vector.legal) return assert.throws(() => checkName(name), errors.InvalidArgumentError);
      const path = lockPath(checkName(name), 'status');
      assert.match(path, /^\/locks\/[A-Za-z0-9\-._~!$&'()*+,;=:@%]+\/status$/);
      assert.equal(decodeURIComponent(path.slice('/locks/'.length, -'/status'.length)), name);
    });
  }
});

describe('backoff', () => {
  for (const { attempt, retryAfterMs, minMs, maxMs } of vectors('backoff.json')) {
    it(`of try ${attempt}, not before ${retryAfterMs} ms`, () => {
      const tenths = new Set();
      for (let i = 0; i < 500; i++) {
        const ms = backoff(attempt, retryAfterMs);
        assert.ok(ms >= minMs && ms <= maxMs, `${ms} ms`);
        tenths.add(Math.floor((10 * (ms - minMs)) / (maxMs - minMs)));
      }
      assert.ok(tenths.size >= 8, 'no even chance');
    });
  }
});

describe('leases', () => {
  for (const v of vectors('lease.json')) {
    it(v.about, () => {
      const clock = new ServiceClock();
      for (const sample of v.samples) clock.learn(sample.serverTime, sample.sentAt, sample.receivedAt);
      const written = v.expiresAt - v.ttlMs;
      if (v.atOnce) clock.learn(written, v.sentAt, v.receivedAt);
      else clock.doubt(written, v.receivedAt);
      const told = { ttlMs: v.ttlMs, expires: v.expiresAt };
      const { lostAt } = new Lease(clock, told, v.leaseMs, v.sentAt, v.receivedAt);
      assert.ok(lostAt >= v.noEarlierThan && lostAt <= v.noLaterThan, `${lostAt}`);
    });
  }
});

/** @type {Record<string, any>} */
const KINDS = {
  held: errors.LockHeldError,
  wait_timeout: errors.LockTimeoutError,
  deadlock: errors.DeadlockError,
  lost: errors.LockLostError,
  not_owner: errors.NotOwnerError,
  not_locked: errors.NotLockedError,
  limit_mismatch: errors.LimitMismatchError,
  request_mismatch: errors.RequestMismatchError,
  invalid_argument: errors.InvalidArgumentError,
  too_large: errors.TooLargeError,
  unauthorized: errors.UnauthorizedError,
  forbidden: errors.ForbiddenError,
  queue_full: errors.QueueFullError,
  rate_limited: errors.RateLimitedError,
  unavailable: errors.LockServiceUnavailable,
  outcome_unknown: errors.OutcomeUnknownError,
  other: errors.LockError,
};

describe('errors', () => {
  for (const vector of vectors('errors.json')) {
    if (vector.kind === 'cancelled') continue; // callers see the reason of their signal
    it(`${vector.about}, over ${vector.http ? 'REST' : 'WebSocket'}`, async (t) => {
      const fake = await startFake(t);
      const error = await (vector.http ? overRest(fake, vector) : overWebSocket(fake, vector)).catch((e) => e);
      assert.equal(error.constructor, KINDS[vector.kind]);
      assert.ok(error.message.includes(error.detail ?? ''));
      const { serviceCode, ...rest } = error;
      compare({ ...rest, code: serviceCode }, vector.fields);
    });
  }
});

/** @typedef {Awaited<ReturnType<typeof startFake>>} Fake */

/** @param {Fake} fake @param {any} vector @returns {Promise<any>} */
function overRest(fake, { http: { status, headers, body } }) {
  fake.rest = (_, response) => void response.writeHead(status, headers).end(body);
  return fake.client().status('x');
}

/** @param {Fake} fake @param {any} vector @returns {Promise<any>} */
async function overWebSocket(fake, { frame, fields }) {
  const problem = JSON.parse(frame);
  const error = fromProblem(problem);
  if (retryable(error)) throw error; // what would be tried again until there is another error
  delete fields.waitTimeMs; // an acquire tells its whole wait, over all that it asked
  fake.answers.acquire = ({ id }, send) => send({ ...problem, id });
  return fake.client().acquire('x', 1000, { waitMs: 0 });
}

describe('frames', () => {
  for (const vector of vectors('frames.json')) {
    it(vector.about, async (t) => {
      const fake = await startFake(t);
      const reader = READERS[vector.is] ?? passOver;
      const got = await reader(fake, vector);
      if (got) compare(got, vector.fields);
    });
  }
});

/** A frame of the vectors as the answer to this one. */
const retell = (/** @type {string} */ text, /** @type {{id: string}} */ { id }) =>
  text.replace(/"id":\s*"\d+"/, `"id":"${id}"`);

/** What is read in each kind of frame. @type {Record<string, (fake: Fake, v: any) => any>} */
const READERS = {
  async grant(fake, v) {
    fake.answers.acquire = (frame, send) => send(retell(v.frame, frame));
    const lock = await fake.client().acquire(v.fields.name, 30_000, { owner: 'o-1', requestId: 'r-1', waitMs: 0 });
    delete v.fields.ttlMs; // the end of the lease has vectors of its own
    delete v.fields.expiresAt;
    const { lockId, name, clientId, ownerId, requestId, fencingToken, renewalToken, waitedMs, metadata } = lock;
    return { lockId, name, clientId, ownerId, requestId, fencingToken, renewalToken, waitedMs, metadata };
  },
  queued: readPlace,
  position: readPlace,
  async released(fake, v) {
    const client = fake.client();
    const lock = await client.acquire('x');
    fake.answers.release = (frame, send) => send(retell(v.frame, frame));
    return { heldForMs: await client.release('x', lock.lockId) };
  },
  async renewed(fake, v) {
    const client = fake.client();
    const lock = await client.acquire('x');
    fake.answers.renew = (frame, send) => send(retell(v.frame, frame));
    return client.renew('x', lock.renewalToken);
  },
  async lost(fake, v) {
    fake.answers.renew = (frame, send) => send(v.frame);
    const lock = await fake.client().acquire('x');
    await assert.rejects(lock.renew(), errors.LockLostError);
    assert.ok(lock.lost && lock.signal.aborted && lock.signal.reason instanceof errors.LockLostError);
  },
  async event(fake, v) {
    fake.answers.subscribe = (frame, send) => {
      send({ type: 'subscribed', id: frame.id, subscription: '1' });
      send(v.frame);
    };
    const { value } = await fake.client().subscribe().next();
    return value;
  },
  async welcome(fake, v) {
    fake.answers.hello = (frame, send) => send(retell(v.frame, frame));
    await passOver(fake, { frame: '{"type":"pong"}' });
  },
};

/** @param {Fake} fake @param {any} v */
function readPlace(fake, v) {
  fake.answers.acquire = (frame, send) => {
    if (v.is === 'position') send({ type: 'queued', id: frame.id, position: 9, holders: [] });
    send(retell(v.frame, frame));
  };
  delete v.fields.requestId;
  return new Promise((resolve, reject) => {
    const stop = new AbortController();
    const onQueued = (/** @type {errors.Place} */ place) => {
      if (place.position !== v.fields.position) return;
      resolve(place);
      stop.abort(new Error('told'));
    };
    fake.client().acquire('x', 1000, { onQueued, signal: stop.signal }).catch(reject);
  });
}

/** Wants that after the frame everything goes on. @param {Fake} fake @param {any} v */
async function passOver(fake, v) {
  const client = fake.client();
  fake.answers.acquire = (frame, send) => {
    send(v.frame);
    send(grant(frame));
  };
  for (let i = 0; i < 2; i++) {
    const lock = await client.acquire('x', 30_000, { waitMs: 0 });
    assert.ok(lock.held);
    await lock.release();
  }
}

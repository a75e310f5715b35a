'use strict';

const assert = require('node:assert/strict');
const { it } = require('node:test');
const errors = require('../client');
const { startFake, grant, welcome, LOCK_ID } = require('./kit/fake');
const { aborted, eventually } = require('./kit/service');

const error = (/** @type {string} */ id, /** @type {string} */ code, /** @type {object} */ more = {}) => ({
  ...{ type: 'error', id, code, title: code, detail: code, status: 400, ...more },
});

it('an acquire goes on over the next connection: its session, a new id, the same requestId', async (t) => {
  const fake = await startFake(t);
  let cut = false;
  fake.answers.acquire = (frame, send, ws) => {
    if (cut) return send(grant(frame));
    cut = true;
    ws.terminate();
  };
  const lock = await fake.client().acquire('x', 30_000, { metadata: { a: 1 }, limit: 2 });
  const [first, second] = fake.frames('acquire');
  assert.notEqual(first.id, second.id);
  assert.deepEqual({ ...first, id: '', waitTimeout: 0 }, { ...second, id: '', waitTimeout: 0 });
  assert.ok(second.waitTimeout <= first.waitTimeout);
  assert.deepEqual(
    fake.frames('hello').map(({ clientId, session }) => [clientId, session]),
    [
      ['c-1', undefined],
      ['c-1', 's'],
    ],
  );
  assert.equal(lock.requestId, first.requestId);
});

it('what may help is asked again with the same requestId, and a refusal is not', async (t) => {
  const fake = await startFake(t);
  const passing = ['outcome_unknown', 'draining', 'unavailable', 'rate_limited', 'internal'];
  fake.answers.acquire = (frame, send) => {
    const code = passing.shift();
    send(code ? error(frame.id, code) : grant(frame));
  };
  const client = fake.client();
  await (await client.acquire('x')).release();
  assert.deepEqual(
    [fake.frames('acquire').length, new Set(fake.frames('acquire').map((f) => f.requestId)).size],
    [6, 1],
  );
  fake.answers.acquire = (frame, send) => send(error(frame.id, 'queue_full', { retryAfter: 1 }));
  await assert.rejects(client.acquire('x'), { code: 'QUEUE_FULL', retryAfterMs: 1000 });
  assert.equal(fake.frames('acquire').length, 7);
});

it('a grant that comes for an aborted acquire goes back', async (t) => {
  const fake = await startFake(t);
  const stop = new AbortController();
  fake.answers.acquire = () => stop.abort(new Error('enough'));
  const acquires = fake.frames.bind(fake, 'acquire');
  fake.answers.cancel = (frame, send) => send(grant(acquires()[0], { id: frame.target }));
  await assert.rejects(fake.client().acquire('x', 1000, { signal: stop.signal }), { message: 'enough' });
  await eventually('it is released', () => fake.frames('release').length === 1);
  assert.equal(fake.frames('release')[0].lockId, LOCK_ID);
});

it('an acquire that was aborted as the connection broke is taken back over the next', async (t) => {
  const fake = await startFake(t);
  const stop = new AbortController();
  let cut = false;
  fake.answers.acquire = (frame, send, ws) => {
    if (cut) return send(grant(frame));
    cut = true;
    ws.terminate();
    stop.abort(new Error('enough'));
  };
  await assert.rejects(fake.client().acquire('x', 1000, { signal: stop.signal }), { message: 'enough' });
  await eventually('it is released', () => fake.frames('release').length === 1);
  const [first, second] = fake.frames('acquire');
  assert.equal(second.requestId, first.requestId);
});

it('a release whose answer was lost is no loss', async (t) => {
  const fake = await startFake(t);
  const lock = await fake.client().acquire('x');
  fake.answers.release = (frame, send, ws) => {
    if (fake.frames('release').length === 1) ws.terminate();
    else send(error(frame.id, 'lock_lost', { status: 410 }));
  };
  await lock.release();
  assert.equal(fake.frames('release').length, 2);
});

it('a release that was never sent before is told of the loss', async (t) => {
  const fake = await startFake(t);
  const lock = await fake.client().acquire('x');
  fake.answers.release = (frame, send) => send(error(frame.id, 'lock_lost', { status: 410 }));
  await assert.rejects(lock.release(), errors.LockLostError);
  assert.ok(lock.lost);
});

it('over a new session, held locks are probed; one that is gone is lost', async (t) => {
  const fake = await startFake(t);
  const client = fake.client();
  fake.answers.acquire = (frame, send) => send(grant(frame, { lockId: frame.lockName, renewalToken: frame.lockName }));
  const [kept, gone] = [await client.acquire('kept'), await client.acquire('gone')];
  const { renew } = fake.answers;
  fake.answers.renew = (frame, send, ws) => {
    if (frame.renewalToken === 'gone') send(error(frame.id, 'lock_lost', { status: 410 }));
    else renew(frame, send, ws);
  };
  fake.answers.acquire = (_, __, ws) => fake.frames('acquire').length === 3 && ws.terminate();
  const waiting = client.acquire('x').catch(() => {});
  assert.ok((await aborted(gone.signal)) instanceof errors.LockLostError);
  assert.ok(kept.held && fake.frames('renew').some((frame) => frame.renewalToken === 'kept'));
  await client.close();
  await waiting;
});

it('a session that went on elsewhere is not come back to', async (t) => {
  const fake = await startFake(t);
  const client = fake.client();
  fake.answers.acquire = (frame, send, ws) => {
    if (fake.frames('acquire').length === 1) ws.close(1000);
    else send(grant(frame));
  };
  await client.acquire('x');
  assert.deepEqual(
    fake.frames('hello').map(({ session }) => session),
    [undefined, undefined],
  );
});

it('a frame that ends the connection is not sent for ever', async (t) => {
  const fake = await startFake(t);
  for (const code of [4400, 1009]) {
    fake.answers.acquire = (_, __, ws) => ws.close(code, 'what a frame');
    const refused = fake.client().acquire('x');
    await assert.rejects(refused, { name: 'InvalidArgumentError', detail: /what a frame/, lockName: 'x' });
  }
  assert.equal(fake.frames('acquire').length, 2);
});

it('a handshake that is refused for its token fails all calls at once', async (t) => {
  const fake = await startFake(t);
  fake.refuse = '401 Unauthorized';
  const client = fake.client();
  const calls = await Promise.allSettled([client.acquire('x'), client.acquire('y'), client.subscribe().next()]);
  for (const call of calls) {
    assert.ok(
      call.status === 'rejected' && call.reason instanceof errors.UnauthorizedError && call.reason.status === 401,
    );
  }
});

for (const refuse of ['501 Not Implemented', '426 Upgrade Required', 'swallow']) {
  it(`where the handshake is answered ${refuse}, calls go over REST`, async (t) => {
    const fake = await startFake(t);
    fake.refuse = refuse;
    /** @type {string[]} */
    const asked = [];
    fake.rest = async (request, response) => {
      asked.push(`${request.method} ${request.url}`);
      const frame = { type: '', id: '', lockName: 'x', ownerId: 'o', requestId: 'r' };
      const body = request.url?.endsWith('acquire') ? grant(frame) : { released: true, heldFor: 1 };
      response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
    };
    const client = fake.client({ httpTimeoutMs: 500 }, `${fake.url}/some/where/`);
    for (let i = 0; i < 2; i++) await (await client.acquire('a/b')).release();
    const calls = ['POST /some/where/locks/a%2Fb/acquire', 'POST /some/where/locks/a%2Fb/release'];
    assert.deepEqual(
      asked.filter((call) => !call.endsWith('/livez')),
      [...calls, ...calls],
    );
    assert.deepEqual(fake.paths, ['/some/where/ws'], 'tried once');
  });
}

it('where the WebSocket is gone for good, all goes on over REST: renewals, and what is taken back', async (t) => {
  const fake = await startFake(t);
  const client = fake.client();
  const short = { ttlMs: 1000, expiresAt: new Date(Date.now() + 1000).toISOString(), lockId: 'held' };
  fake.answers.acquire = (frame, send) => send(grant(frame, short));
  const lock = await client.acquire('held', 1000, { autoRenew: true });
  /** @type {string[]} */
  const asked = [];
  fake.rest = (request, response) => {
    asked.push(String(request.url));
    const frame = { type: '', id: '', lockName: 'x' };
    const answer = request.url?.endsWith('renew') ? { ttlMs: 1000, expiresAt: short.expiresAt } : grant(frame);
    response.end(JSON.stringify(answer));
  };
  const stop = new AbortController();
  fake.answers.acquire = (_, __, ws) => {
    fake.refuse = '501 Not Implemented';
    ws.terminate();
    stop.abort(new Error('enough'));
  };
  await assert.rejects(client.acquire('x', 1000, { signal: stop.signal }), { message: 'enough' });
  await eventually('what was asked for is given back', () => asked.includes('/locks/x/release'));
  await eventually('the lock is renewed', () => asked.filter((path) => path === '/locks/held/renew').length >= 3);
  assert.ok(lock.held && asked.includes('/locks/x/acquire'));
});

it('another endpoint is used where one does not answer', async (t) => {
  const [dead, fake] = ['http://127.0.0.1:1', await startFake(t)];
  fake.rest = (_, response) => response.end('{"locked":false}');
  const client = fake.client({ endpoints: [fake.url] }, dead);
  await (await client.acquire('x')).release();
  assert.equal((await client.status('x')).locked, false);
});

it('where nobody answers, the last cause is told', async (t) => {
  const fake = await startFake(t);
  const client = fake.client({}, 'http://127.0.0.1:1');
  /** @type {any} */
  const failed = await client.status('x').catch((e) => e);
  assert.equal(failed.constructor, errors.LockServiceUnavailable);
  assert.deepEqual([failed.code, failed.lockName], ['UNAVAILABLE', 'x']);
  assert.match(failed.message, /^x: .*ECONNREFUSED/);
  assert.match(failed.cause.message, /ECONNREFUSED/);
});

it('a node that is silent as a renewal waits is given up for the next', async (t) => {
  const [silent, next] = [await startFake(t), await startFake(t)];
  const ttl = { ttlMs: 2000, expiresAt: new Date(Date.now() + 2000).toISOString() };
  silent.answers.acquire = (frame, send) => send(grant(frame, ttl));
  silent.answers.renew = () => {};
  next.answers.hello = (frame, send) => send(welcome(frame, { resumed: true }));
  const lock = await silent.client({ endpoints: [next.url] }).acquire('x', 2000, { autoRenew: true });
  await eventually('the other node renews', () => next.frames('renew').length > 0, 2000);
  assert.ok(lock.held);
});

it('a draining node is left for the next', async (t) => {
  const [draining, next] = [await startFake(t), await startFake(t)];
  draining.answers.acquire = (frame, send) => send({ type: 'draining' });
  const lock = await draining.client({ endpoints: [next.url] }).acquire('x');
  assert.equal(next.frames('hello')[0].session, 's');
  assert.equal(next.frames('acquire')[0].requestId, lock.requestId);
});

it('a wait that the service calls too long is asked for in smaller parts, and keeps its place', async (t) => {
  const fake = await startFake(t);
  const fields = [{ field: 'waitTimeout', detail: 'must be at most 1' }];
  /** @type {string[]} */
  const told = [];
  fake.answers.acquire = (frame, send) => {
    if (frame.waitTimeout > 1) return send(error(frame.id, 'invalid_argument', { errors: fields }));
    told.push(frame.id);
    send({ type: 'queued', id: frame.id, position: 1, holders: [] });
    if (told.length < 3) return;
    send(error(told[0], 'wait_timeout')); // the older ask's, which the later one has followed
    send(grant(frame));
  };
  const begin = performance.now();
  const lock = await fake.client().acquire('x', 30_000, { waitMs: Infinity });
  assert.ok(performance.now() - begin < 4000 && lock.waitedMs > 1500);
  const asks = fake.frames('acquire').map((frame) => frame.waitTimeout);
  assert.deepEqual(asks, [60, 30, 15, 7.5, 3.75, 1.875, 1, 1, 1]);
  assert.equal(new Set(fake.frames('acquire').map((frame) => frame.requestId)).size, 1);
});

it('a grant of which nobody can tell when it began is renewed before it is handed over', async (t) => {
  const fake = await startFake(t);
  const later = new Date(Date.now() + 3_600_000).toISOString(); // its clock was set forward while the request waited
  fake.answers.acquire = (frame, send) => {
    send({ type: 'queued', id: frame.id, position: 1, holders: [] });
    setTimeout(() => send(grant(frame, { ttlMs: 1000, expiresAt: later })), 300);
  };
  const lock = await fake.client().acquire('x', 1000);
  assert.ok(fake.frames('renew').length === 1 && lock.leftMs > 20_000);
});

it('what nobody can read ends the connection, not the process', async (t) => {
  const fake = await startFake(t);
  fake.answers.acquire = (frame, send) => send(fake.frames('acquire').length === 1 ? '{"type":' : grant(frame));
  const lock = await fake.client().acquire('x');
  assert.ok(lock.held && fake.frames('hello').length === 2);
});

it('a listener or logger that throws breaks no connection', async (t) => {
  const fake = await startFake(t);
  const thrower = () => {
    throw new Error('a logger’s own');
  };
  const client = fake.client({ logger: { debug: thrower, warn: thrower } });
  fake.answers.renew = (_, send) => send({ type: 'lost', lockId: LOCK_ID, reason: 'expired' });
  const lock = await client.acquire('x');
  await assert.rejects(lock.renew(), errors.LockLostError);
});

'use strict';

// Does with this SDK what the conformance runner asks for, in lines of JSON on stdin. The protocol is in
// clients/conformance/README.md. It decides nothing.

const { createHook } = require('node:async_hooks');
const { performance } = require('node:perf_hooks');
const { createInterface } = require('node:readline');
const { setTimeout: sleep } = require('node:timers/promises');
const client = require('./client');

// Handles and timers that live, whether they keep the process alive or not.
const LIVING = new Set(['Timeout', 'TCPWRAP', 'PIPEWRAP', 'TCPCONNECTWRAP', 'GETADDRINFOREQWRAP']);
/** @type {Set<number>} */
const living = new Set();
createHook({
  init: (id, type) => void (LIVING.has(type) && living.add(id)),
  destroy: (id) => void living.delete(id),
}).enable();
void process.stderr; // which Node opens with the first socket that ends: it is no socket of the SDK

process.on('unhandledRejection', (error) => {
  console.error('UNHANDLED REJECTION', error);
  process.exit(70);
});

/** @typedef {{[key: string]: any}} Fields */
/** @typedef {{id: number, op: string, args: Fields}} Request */

class CancelledByRunner extends Error {}

/** The SDK's errors, the most special first. @type {[Function, string][]} */
const KINDS = [
  [CancelledByRunner, 'cancelled'],
  [client.LockLostError, 'lost'],
  [client.LockReleasedError, 'released'],
  [client.ClientClosedError, 'closed'],
  [client.LockHeldError, 'held'],
  [client.LockTimeoutError, 'wait_timeout'],
  [client.DeadlockError, 'deadlock'],
  [client.NotOwnerError, 'not_owner'],
  [client.NotLockedError, 'not_locked'],
  [client.LimitMismatchError, 'limit_mismatch'],
  [client.RequestMismatchError, 'request_mismatch'],
  [client.InvalidArgumentError, 'invalid_argument'],
  [client.TooLargeError, 'too_large'],
  [client.UnauthorizedError, 'unauthorized'],
  [client.ForbiddenError, 'forbidden'],
  [client.QueueFullError, 'queue_full'],
  [client.RateLimitedError, 'rate_limited'],
  [client.OutcomeUnknownError, 'outcome_unknown'],
  [client.LockServiceUnavailable, 'unavailable'],
];

/** @type {client.DistributedLockClient} */
let sdk;
/** The locks, and what can be cancelled, by the ids of their requests. */
/** @type {Map<number, client.Lock>} */
const locks = new Map();
/** @type {Map<number, AbortController>} */
const cancels = new Map();

/** @param {Fields} line */
function write(line) {
  process.stdout.write(`${JSON.stringify({ ...line, at: performance.now() })}\n`);
}

/** @param {string} event @param {number} of @param {Fields} [more] */
const push = (event, of, more) => write({ event, of, ...more });

/** @param {any} error */
function failure(error) {
  const kind = KINDS.find(([type]) => error instanceof type)?.[1] ?? 'other';
  const { serviceCode, detail = String(error), status, requestId, lockName, holders, queueLength } = error;
  const { cycle, limit, fields, waitTimeMs, retryAfterMs } = error;
  const told = { status, requestId, lockName, holders, queueLength, cycle, limit, fields, waitTimeMs, retryAfterMs };
  return { kind, code: serviceCode, detail, ...told };
}

/** @param {Fields} a */
function open({ urls, clientId, token, webSocket }) {
  sdk = new client.DistributedLockClient(urls[0], { endpoints: urls.slice(1), clientId, token, webSocket });
  return { clientId: sdk.clientId };
}

/** @param {Request} q @param {AbortSignal} signal @returns {client.AcquireOptions} */
function options({ args }, signal) {
  const { autoRenew, maxHoldMs, metadata, shared, limit, owner, requestId } = args;
  return { autoRenew, maxHoldMs, metadata, shared, limit, owner, requestId, signal };
}

/** @param {Request} q @param {AbortSignal} signal @returns {client.AcquireOptions} */
function waiting(q, signal) {
  const onQueued = (/** @type {client.Place} */ { position, holders }) =>
    push('queued', q.id, { position, holders: holders.length });
  return { ...options(q, signal), waitMs: q.args.waitMs ?? Infinity, onQueued };
}

/** Answers with the grant, and tells later of its loss. @param {Request} q @param {AbortSignal} signal */
async function acquire(q, signal) {
  const { name, ttlMs, ownerOf } = q.args;
  const outer = locks.get(ownerOf);
  const get = () => sdk.acquire(name, ttlMs, waiting(q, signal));
  return granted(q, await (outer ? sdk.withOwner(outer.ownerId, get) : get()));
}

/** @param {Request} q @param {AbortSignal} signal */
async function tryAcquire(q, signal) {
  const { name, ttlMs } = q.args;
  return granted(q, await sdk.acquire(name, ttlMs, { ...options(q, signal), waitMs: 0 }));
}

/** @param {Request} q @param {client.Lock} lock */
function granted({ id }, lock) {
  locks.set(id, lock);
  const tell = () => {
    if (lock.signal.reason instanceof client.LockLostError) push('lost', id, failure(lock.signal.reason));
  };
  if (lock.signal.aborted) setImmediate(tell);
  else lock.signal.addEventListener('abort', tell);
  const { lockId, name, clientId, ownerId, requestId, renewalToken, fencingToken, waitedMs, autoRenew, metadata } =
    lock;
  const { leftMs } = lock;
  const told = {
    lockId,
    name,
    clientId,
    ownerId,
    requestId,
    renewalToken,
    fencingToken,
    waitedMs,
    autoRenew,
    metadata,
  };
  return { ...told, leftMs, endsAt: performance.now() + leftMs };
}

/** The SDK's block, for holdMs or until it is told to stop. @param {Request} q @param {AbortSignal} signal */
async function block(q, signal) {
  const { name, ttlMs, holdMs } = q.args;
  const finished = await sdk.using(name, { ...waiting(q, signal), ttlMs }, async (held, { fencingToken }) => {
    push('entered', q.id, { fencingToken });
    try {
      await sleep(holdMs, undefined, { signal: held });
      return true;
    } catch {
      throw held.reason;
    } finally {
      push('left', q.id, { fencingToken });
    }
  });
  return { finished };
}

/** @param {Request} q @param {AbortSignal} signal */
async function listen({ id, args }, signal) {
  try {
    for await (const event of sdk.subscribe(args.locks, args.events, { signal })) push('event', id, event);
    push('ended', id);
  } catch (error) {
    push('ended', id, failure(error));
  }
}

/** What each op does. @type {Record<string, (q: Request, signal: AbortSignal) => any>} */
const OPS = {
  open: ({ args }) => open(args),
  close: () => sdk.close(),
  leaks: () => ({ tasks: living.size }),
  acquire,
  try: tryAcquire,
  do: block,
  release: ({ args }) => locks.get(args.target)?.release(),
  async renew({ args }) {
    const lock = /** @type {client.Lock} */ (locks.get(args.target));
    await lock.renew(args.ttlMs);
    return { leftMs: lock.leftMs };
  },
  check({ args }) {
    const lock = /** @type {client.Lock} */ (locks.get(args.target));
    lock.ensureHeld();
    return { held: lock.held, leftMs: lock.leftMs };
  },
  cancel: ({ args }) => cancels.get(args.target)?.abort(new CancelledByRunner('cancelled by the runner')),
  subscribe: (q, signal) => void listen(q, signal),
  releaseById: async ({ args }) => ({ heldForMs: await sdk.release(args.name, args.lockId) }),
  async renewByToken({ args }) {
    const { fencingToken, ttlMs } = await sdk.renew(args.name, args.renewalToken, args.ttlMs);
    return { fencingToken, ttlMs };
  },
  status: ({ args }) => sdk.status(args.name),
  async list({ args }) {
    const names = [];
    for await (const { lockName } of sdk.list(args.prefix)) names.push(lockName);
    return { names: names.sort() };
  },
  force: async ({ args }) => ({ holders: await sdk.forceRelease(args.name, args.reason) }),
};

/** @param {Request} q */
async function answer(q) {
  const cancel = new AbortController();
  cancels.set(q.id, cancel);
  try {
    write({ id: q.id, ok: (await OPS[q.op](q, cancel.signal)) ?? {} });
  } catch (error) {
    write({ id: q.id, error: failure(error) });
  }
  if (q.op !== 'subscribe') cancels.delete(q.id);
}

const lines = createInterface({ input: process.stdin, terminal: false });
lines.on('line', (line) => void answer(JSON.parse(line)));
lines.on('close', () => process.exit(0));
push('ready', 0, { lang: 'nodejs' });

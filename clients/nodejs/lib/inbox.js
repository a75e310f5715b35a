'use strict';

const { ConnectionEnd } = require('./connection');
const { LockLostError, NotOwnerError, fromProblem, serviceCodeOf } = require('./errors');
const { Holding } = require('./holding');

/**
 * @typedef {object} Heard
 * @property {import('./core').Core} core
 * @property {import('./connection').Connection} conn
 * @property {any} frame
 * @property {import('./call').Call | undefined} call whose answer it is
 * @property {number} received
 */

/** When the service wrote an answer that it wrote at once. @param {any} frame */
const writtenAt = (frame) => Date.parse(frame.expiresAt) - frame.ttlMs;

/** What is done about each type of frame. Others are passed over. @type {Record<string, (heard: Heard) => void>} */
const HANDLERS = {
  granted,
  renewed,
  queued,
  error: failed,
  released({ core, call, frame }) {
    if (call) core.calls.settle(call, { heldForMs: frame.heldFor * 1000 });
  },
  position({ call, frame }) {
    if (call?.id === Number(frame.id)) call.moveTo({ position: frame.position, holders: call.place?.holders ?? [] });
  },
  lost({ core, frame }) {
    core.held.get(frame.lockId)?.lose(reasonOf(frame.reason));
  },
  subscribed({ core, conn, call, frame }) {
    call?.subscriber?.live(conn, frame.subscription);
    if (call) core.calls.settle(call, {});
  },
  unsubscribed({ core, call }) {
    if (call) core.calls.settle(call, {});
  },
  event({ conn, frame }) {
    const { type, subscription, event, ...rest } = frame;
    if (type) conn.subscribers.get(subscription)?.push({ kind: event, ...rest });
  },
  draining({ core, conn }) {
    conn.draining = true;
    if (core.settings.endpoints.length > 1) conn.kill(new ConnectionEnd('the node shuts down'));
  },
};

/**
 * Does what a frame tells. Frames of a connection that another has followed are nothing any more.
 * @param {import('./core').Core} core
 * @param {import('./connection').Connection} conn
 * @param {string} text
 * @param {number} received
 */
function handle(core, conn, text, received) {
  if (core.link.conn !== conn) return;
  const frame = JSON.parse(text);
  if (!Object.hasOwn(HANDLERS, frame.type)) return;
  HANDLERS[frame.type]({ core, conn, frame, call: core.calls.pending.get(Number(frame.id)), received });
}

/** @param {string} reason */
function reasonOf(reason) {
  if (reason === 'expired') return 'its lease ran out';
  return reason === 'force_released' ? 'an admin took it' : 'the service no longer knows it';
}

/** Gives a grant to whoever asked for it, or back where nobody wants it. @param {Heard} heard */
function granted({ core, frame, call: asked, received }) {
  const { calls, clock, held } = core;
  // A grant may be told under an id of an earlier connection.
  const call = asked?.kind === 'acquire' ? asked : calls.wanting(frame.lockName, frame.requestId);
  const known = held.get(frame.lockId);
  if (!call?.request) {
    const repeated = known || core.lapsed.has(frame.lockId) || calls.releasing(frame.lockId); // the same place was asked for more than once
    if (!repeated) calls.giveBack(frame.lockName, frame.lockId);
    return;
  }
  if (known || call.unattended) {
    if (!known) calls.giveBack(frame.lockName, frame.lockId); // before the end of the call: close may wait for that alone
    calls.settle(call, { holding: known });
    return;
  }
  if (!call.queued && call.older.length === 0) clock.learn(writtenAt(frame), call.first, received);
  else clock.doubt(writtenAt(frame), received);
  const holding = new Holding(core, call.request, frame, call.first, received);
  // The service counts from the last time it was asked.
  if (call.since) holding.waitedMs = Math.max(holding.waitedMs, received - call.since);
  calls.settle(call, { holding });
}

/** Notes that a request waits. @param {Heard} heard */
function queued({ core, call, frame, received }) {
  if (call?.kind !== 'acquire' || call.id !== Number(frame.id)) return;
  call.queued = true;
  call.since ||= received;
  const holder = frame.holders?.[0];
  if (holder && call.older.length === 0) core.clock.learn(writtenAt(holder), call.sent, received);
  call.moveTo({ position: frame.position, holders: frame.holders ?? [] });
}

/** The lock knows of its new lease before the caller does. @param {Heard} heard */
function renewed({ core, call, frame, received }) {
  if (call?.kind !== 'renew') return;
  core.clock.learn(writtenAt(frame), call.first, received);
  call.holding?.extend(frame.ttlMs, call.sent, received);
  const { expiresAt, ttlMs, fencingToken } = frame;
  core.calls.settle(call, { renewal: { expiresAt, ttlMs, fencingToken } });
}

/** Ends a call with an error, unless the error is that of an ask which a later one has followed. @param {Heard} heard */
function failed({ core, call, frame }) {
  if (!call) return; // of a cancel, or of what is over
  const error = fromProblem(frame, { lockName: call.name || undefined });
  const code = serviceCodeOf(error);
  const id = Number(frame.id);
  if (call.id !== id && (code === 'wait_timeout' || code === 'cancelled' || call.unattended)) {
    call.older = call.older.filter((older) => older !== id);
    core.calls.pending.delete(id);
    return;
  }
  const stubborn = call.unattended && (call.kind === 'release' || call.kind === 'subscribe');
  if (stubborn && core.calls.again(call, error)) return;
  call.subscriber?.end(error);
  core.calls.settle(call, { error });
  if (call.kind === 'renew' && (error instanceof LockLostError || error instanceof NotOwnerError)) {
    call.holding?.lose('the service no longer knows it');
  }
}

module.exports = { handle };

'use strict';

const { Call } = require('./call');
const { LockServiceUnavailable, NoWebSocket, retryAfterMs, retryable, unavailable, why } = require('./errors');
const { backoff, now } = require('./timing');

/** How long a node may say nothing to what it answers at once, before it is taken for dead. */
const PATIENCE_MS = 5000;

/** @typedef {import('./core').Core} Core */
/** @typedef {{error?: unknown, heldForMs?: number, resent?: boolean}} Released resent: an earlier try may have done it */

/**
 * Releases until then, over whatever connections it takes.
 * @param {Core} core
 * @param {string} name
 * @param {string} lockId
 * @param {number} until
 * @returns {Promise<Released>}
 */
async function releaseUntil(core, name, lockId, until) {
  let resent = false;
  for (let attempt = 0; ; attempt++) {
    const { error, heldForMs, resent: again } = await releaseOnce(core, name, lockId, until);
    resent ||= again ?? false;
    if (!error || !retryable(error)) return { error, heldForMs, resent };
    if (now() >= until) return { error: unavailable(error, name), resent };
    resent = true; // whatever it said, it may have been done
    const pause = backoff(attempt, Math.min(retryAfterMs(error), 1000));
    await core.pause(Math.min(pause, until - now()), undefined, core.endings);
  }
}

/** @param {Core} core @param {string} name @param {string} lockId @param {number} until @returns {Promise<Released>} */
async function releaseOnce(core, name, lockId, until) {
  if (core.link.overRest) return overRest(core, name, lockId, until);
  const call = new Call('release', { name, secret: lockId });
  try {
    core.calls.submit(call);
    const answer = await core.calls.wait(call, { until, patienceMs: PATIENCE_MS });
    return answer.rest ? { error: new NoWebSocket('over REST from now on'), resent: answer.resent } : answer;
  } catch (error) {
    return { error, resent: error instanceof LockServiceUnavailable };
  }
}

/** @param {Core} core @param {string} name @param {string} lockId @param {number} [until] @returns {Promise<Released>} */
async function overRest(core, name, lockId, until) {
  const q = core.rest.about(name, 'release', { lockId }, { until });
  try {
    const answer = await core.rest.json(q);
    return { heldForMs: answer.heldFor * 1000, resent: q.again };
  } catch (error) {
    return { error, resent: q.again };
  }
}

/**
 * Releases, and nobody waits for it but close.
 * @param {Core} core
 * @param {string} name
 * @param {string} lockId
 */
function releaseLater(core, name, lockId) {
  if (core.over) return;
  if (core.link.overRest) releaseOverRest(core, name, lockId);
  else core.calls.giveBack(name, lockId);
}

/** @param {Core} core @param {string} name @param {string} lockId */
function releaseOverRest(core, name, lockId) {
  core.loosen();
  core.background(async () => {
    const { error } = await overRest(core, name, lockId);
    core.tighten();
    if (error) core.log.warn('not given back', { lock: name, why: why(error) });
  });
}

/**
 * Releases by id.
 * @param {Core} core
 * @param {string} name
 * @param {string} lockId
 */
async function releaseById(core, name, lockId) {
  const until = now() + core.settings.httpTimeoutMs;
  const { error, heldForMs } = core.link.conn
    ? await releaseUntil(core, name, lockId, until)
    : await overRest(core, name, lockId);
  if (error) throw error;
  return heldForMs ?? 0;
}

module.exports = { releaseUntil, releaseLater, releaseOverRest, releaseById, PATIENCE_MS };

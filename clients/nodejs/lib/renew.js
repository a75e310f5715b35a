'use strict';

const { Call } = require('./call');
const { NoWebSocket, retryable } = require('./errors');
const { PATIENCE_MS } = require('./release');
const { after, now } = require('./timing');

/** @typedef {import('./core').Core} Core */

/**
 * Renews a lock once, over what there is.
 * @param {import('./holding').Holding} holding
 * @param {number} ttlMs 0 for the lease's own
 * @param {AbortSignal} [signal]
 */
async function renewOnce(holding, ttlMs, signal) {
  const { core, name, renewalToken: secret, lease } = holding;
  if (core.link.overRest) return renewOverRest(holding, ttlMs, signal);
  const call = new Call('renew', { name, secret, holding, ttlMs: ttlMs || undefined });
  core.calls.submit(call);
  holding.renewing = call;
  // Where a renewal has no answer, another is sent after it: the one that is answered first counts.
  const askAgain = () => core.link.probe(holding);
  const again = ttlMs === 0 ? after(Math.max(lease.ttlMs / 6, 100), askAgain) : undefined;
  try {
    const patienceMs = patience(core, lease.ttlMs);
    const answer = await core.calls.wait(call, { signal, until: lease.lostAt, patienceMs });
    if (answer.rest) throw new NoWebSocket('over REST from now on');
    if (answer.error) throw answer.error;
  } finally {
    clearTimeout(again);
    holding.renewing = undefined;
  }
}

/**
 * How long a node may say nothing while a renewal waits for it. Where there is another to go to, it is so short that the
 * renewal comes in time there.
 * @param {Core} core
 * @param {number} ttlMs
 */
function patience(core, ttlMs) {
  const several = core.settings.endpoints.length > 1;
  const wanted = several ? Math.max(ttlMs / 4, 500) : Math.max(ttlMs / 2, 1000);
  return Math.min(wanted, PATIENCE_MS);
}

/** @param {import('./holding').Holding} holding @param {number} ttlMs @param {AbortSignal} [signal] */
async function renewOverRest(holding, ttlMs, signal) {
  const from = now();
  const how = { signal, until: holding.lease.lostAt };
  try {
    const told = await askRest(holding.core, holding.name, holding.renewalToken, ttlMs, how);
    holding.extend(told.ttlMs, from, now());
  } catch (error) {
    if (retryable(error) || signal?.aborted) holding.unsure(from, ttlMs);
    throw error;
  }
}

/**
 * @param {Core} core
 * @param {string} name
 * @param {string} renewalToken
 * @param {number} ttlMs
 * @param {{signal?: AbortSignal, until?: number}} [how]
 */
function askRest(core, name, renewalToken, ttlMs, how) {
  const body = { renewalToken, timeout: ttlMs ? ttlMs / 1000 : undefined };
  return core.rest.json(core.rest.about(name, 'renew', body, how));
}

/**
 * Renews by token.
 * @param {Core} core
 * @param {string} name
 * @param {string} renewalToken
 * @param {number} ttlMs
 * @returns {Promise<import('../client').Renewal>}
 */
async function renewByToken(core, name, renewalToken, ttlMs) {
  if (core.link.conn) {
    const call = new Call('renew', { name, secret: renewalToken, ttlMs: ttlMs || undefined });
    core.calls.submit(call);
    try {
      const until = now() + core.settings.httpTimeoutMs;
      const { renewal, error } = await core.calls.wait(call, { until, patienceMs: PATIENCE_MS });
      if (renewal) return renewal;
      if (error && !retryable(error)) throw error;
    } catch (error) {
      if (!retryable(error)) throw error;
    }
  }
  const { expiresAt, ttlMs: left, fencingToken } = await askRest(core, name, renewalToken, ttlMs);
  return { expiresAt, ttlMs: left, fencingToken };
}

module.exports = { renewOnce, renewByToken };

'use strict';

const { Call } = require('./call');
const { NoWebSocket, closed, isRefusal, retryAfterMs, retryable, serviceCodeOf, unavailable } = require('./errors');
const { Poller, isTimeout } = require('./poll');
const { PATIENCE_MS } = require('./release');
const { backoff, now } = require('./timing');

// How long a call that does not wait in line, or not as long, tries to reach the service.
const TRY_MS = 5000;
// For the service to say that a wait ran out.
const GRACE_MS = 1000;
// What is left of a wait whose end the service told, for the difference of the clocks.
const NEARLY_MS = 20;

/** @typedef {import('./core').Core} Core */
/** @typedef {import('./holding').Holding} Holding */

/** An acquire under way, over all its tries. */
class Waiting {
  /** @param {import('./request').Request} request */
  constructor(request) {
    this.request = request;
    this.begin = now();
    /** When the wait in line ends; when to give up. */
    this.end = this.begin + request.waitMs;
    this.until = this.begin + Math.max(request.waitMs + GRACE_MS, TRY_MS);
  }

  /**
   * What an error means: the last one, or a reason to ask again, at once or later.
   * @param {Core} core
   * @param {any} error
   * @returns {{final?: unknown, atOnce?: boolean}}
   */
  judge(core, error) {
    if (error instanceof NoWebSocket) return { atOnce: true }; // over REST, from now on
    if (isTimeout(error)) {
      if (this.end - now() >= NEARLY_MS) return { atOnce: true }; // only a part of the wait has ended
      error.waitTimeMs = now() - this.begin;
      return { final: error };
    }
    if (isAboutWait(error) && core.shortenAsk()) return { atOnce: true };
    if (!retryable(error)) return { final: error };
    return now() >= this.until ? { final: unavailable(error, this.request.name) } : {};
  }
}

/** @param {any} error */
function isAboutWait(error) {
  return (
    serviceCodeOf(error) === 'invalid_argument' && error.fields.length === 1 && error.fields[0].field === 'waitTimeout'
  );
}

/**
 * Asks until there is an answer that asking again cannot change.
 * @param {Core} core
 * @param {import('./request').Request} request
 * @returns {Promise<Holding>}
 */
async function acquire(core, request) {
  const { signal, name } = request;
  const waiting = new Waiting(request);
  for (let attempt = 0; ; attempt++) {
    if (signal?.aborted) throw signal.reason;
    const { holding, error } = await ask(core, waiting);
    if (holding) return hand(core, request, holding);
    if (signal?.aborted && !isRefusal(error)) throw signal.reason;
    const { final, atOnce } = waiting.judge(core, error);
    if (final) throw final;
    if (atOnce) {
      attempt = -1;
      continue;
    }
    const pause = backoff(attempt, Math.min(retryAfterMs(error), 1000));
    if (!(await core.pause(Math.min(pause, waiting.until - now()), signal))) {
      throw signal?.aborted ? signal.reason : closed();
    }
    if (now() >= waiting.until) throw unavailable(error, name);
  }
}

/**
 * Asks once, over what there is.
 * @param {Core} core
 * @param {Waiting} waiting
 * @returns {Promise<{holding?: Holding, error?: unknown}>}
 */
async function ask(core, waiting) {
  const { request, end: waitEnd, until } = waiting;
  try {
    if (core.closed) throw closed();
    if (core.link.overRest) return { holding: await new Poller(core, request, waitEnd, until).acquire() };
    const call = new Call('acquire', { name: request.name, request, waitEnd });
    core.calls.submit(call);
    const answer = await core.calls.wait(call, { signal: request.signal, until, patienceMs: PATIENCE_MS });
    return answer.rest ? { error: new NoWebSocket('over REST from now on') } : answer;
  } catch (error) {
    return { error };
  }
}

/**
 * Gives a lock to its caller, who may have lost patience meanwhile.
 * @param {Core} core
 * @param {import('./request').Request} request
 * @param {Holding} holding
 */
async function hand(core, { signal }, holding) {
  const unclear = holding.lease.unclear();
  try {
    if (signal?.aborted) throw signal.reason;
    if (core.closed) throw closed();
    // When it was granted cannot be told well enough: a new lease begins after now.
    if (unclear) await holding.renew(0, signal);
    holding.ensureHeld();
  } catch (error) {
    holding.letGo();
    throw error;
  }
  if (holding.autoRenew) holding.keep();
  return holding;
}

module.exports = { acquire, Waiting };

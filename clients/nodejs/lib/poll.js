'use strict';

const { LockTimeoutError, closed, serviceCodeOf, unavailable } = require('./errors');
const { Holding } = require('./holding');
const { after, now } = require('./timing');

// How long one REST call waits: proxies cut off what is silent for a minute.
const POLL_MS = 20_000;
// How long before its end the next call takes the place over.
const LEAD_MS = 4000;
// How long it may take to give back what a cancelled poll was granted.
const SETTLE_MS = 4000;

/** @typedef {{number: number, sent: number, received: number, told?: any, error?: unknown}} Polled */

/** A wait over REST: several calls, each of which takes the place over from the one before. */
class Poller {
  #polls = new AbortController();
  #last = 0;
  /** The polls that have no answer. @type {Set<Promise<Polled>>} */
  #flying = new Set();
  #first = now();

  /**
   * @param {import('./core').Core} core
   * @param {import('./request').Request} request
   * @param {number} [end] when the wait in line ends
   * @param {number} [until] when to give up
   */
  constructor(core, request, end = Infinity, until = Infinity) {
    this.core = core;
    this.request = request;
    this.end = end;
    this.until = until;
  }

  /**
   * Polls until there is a grant, an error, or no reason to wait any more.
   * @returns {Promise<Holding>}
   */
  async acquire() {
    const { core, request } = this;
    /** @type {any} */
    let kept;
    try {
      const { told, received } = await this.#run();
      kept = told;
      const holding = core.held.get(told.lockId) ?? new Holding(core, request, told, this.#first, received);
      // The service counts from the last time it was asked.
      if (this.#last > 1) holding.waitedMs = Math.max(holding.waitedMs, received - this.#first);
      return holding;
    } finally {
      this.#settle(kept);
    }
  }

  /** @returns {Promise<Polled>} the grant */
  #run() {
    const { core, until } = this;
    const { signal } = this.request;
    return new Promise((resolve, reject) => {
      /** @type {NodeJS.Timeout | undefined} */
      let next;
      const end = (/** @type {() => void} */ how) => {
        clearTimeout(next);
        clearTimeout(patience);
        core.closings.delete(close);
        signal?.removeEventListener('abort', abort);
        how();
      };
      const fail = (/** @type {unknown} */ error) => end(() => reject(error));
      const close = () => fail(closed());
      const abort = () => fail(signal?.reason);
      const tired = () => (now() < until ? undefined : fail(unavailable(core.cause, this.request.name)));
      const patience = until === Infinity ? undefined : after(until - now(), tired);
      const start = () => {
        const chunk = this.#chunk();
        if (chunk.more) next = after(chunk.ms - Math.min(LEAD_MS, chunk.ms / 4), start);
        void this.#poll(chunk.ms).then((polled) => {
          if (polled.told) end(() => resolve(polled));
          else if (polled.number === this.#last || !isTimeout(polled.error)) fail(polled.error);
        });
      };
      core.closings.add(close);
      signal?.addEventListener('abort', abort);
      start();
    });
  }

  /** How long the next poll waits, and whether another has to follow it. */
  #chunk() {
    if (this.request.waitMs === 0) return { ms: 0, more: false };
    const most = Math.min(POLL_MS, this.core.longestAskMs);
    const left = Math.max(this.end - now(), 1);
    return { ms: Math.min(most, left), more: left > most };
  }

  /** @param {number} waitMs @returns {Promise<Polled>} */
  #poll(waitMs) {
    const number = ++this.#last;
    const sent = now();
    const poll = this.#ask(waitMs, { signal: this.#polls.signal }).then(
      (told) => ({ number, sent, received: now(), told }),
      (error) => ({ number, sent, received: now(), error }),
    );
    this.#flying.add(poll);
    void poll.then(() => this.#flying.delete(poll));
    return poll;
  }

  /** @param {number} waitMs @param {{signal?: AbortSignal, until?: number}} how */
  #ask(waitMs, how) {
    const { rest } = this.core;
    return rest.json(rest.about(this.request.name, 'acquire', this.request.body(waitMs), { ...how, waitMs }));
  }

  /**
   * Sees to the polls that have no answer: what they were granted goes back.
   * @param {any} kept the grant that is kept
   */
  #settle(kept) {
    const flying = [...this.#flying];
    if (flying.length > 0) this.#loosely(() => this.#giveBack(flying, kept));
    this.#polls.abort(new Error('the wait is over'));
  }

  /** Gives back what an acquire was granted that was asked for otherwise, if it was, and nobody waits for it. */
  takeBack() {
    this.#loosely(() => this.#giveBack([], undefined));
  }

  /** @param {() => Promise<void>} work */
  #loosely(work) {
    const { core } = this;
    core.loosen();
    core.background(async () => {
      try {
        await work();
      } finally {
        core.tighten();
      }
    });
  }

  /** @param {Promise<Polled>[]} flying @param {any} kept */
  async #giveBack(flying, kept) {
    const { rest } = this.core;
    const how = { until: now() + SETTLE_MS };
    const { name } = this.request;
    let told = (await Promise.all(flying)).map((polled) => polled.told).find((grant) => grant);
    // An answer may have been lost: the same request is told of its grant again.
    if (!told && !kept) told = await this.#ask(0, how).catch(() => undefined);
    if (!told || told.lockId === kept?.lockId || this.core.held.has(told.lockId)) return;
    await rest.json(rest.about(name, 'release', { lockId: told.lockId }, how)).catch(() => {}); // or its lease runs out
  }
}

/** @param {unknown} error */
const isTimeout = (error) => error instanceof LockTimeoutError && serviceCodeOf(error) === 'wait_timeout';

module.exports = { Poller, isTimeout };

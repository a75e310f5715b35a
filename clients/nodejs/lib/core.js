'use strict';

const { Calls } = require('./calls');
const { ServiceClock } = require('./clock');
const { why } = require('./errors');
const { Link } = require('./link');
const { Rest } = require('./rest');
const { LONGEST_MS, after, now } = require('./timing');

// How long close waits for what is given back, and a process that could end otherwise.
const CLOSE_MS = 2000;

const nothing = () => {};

/** What the parts of one client share, and its end. */
class Core {
  /** @param {ReturnType<import('./settings').readSettings>} settings */
  constructor(settings) {
    this.settings = settings;
    this.log = settings.log;
    this.clock = new ServiceClock();
    /** The locks held, by lockId. @type {Map<string, import('./holding').Holding>} */
    this.held = new Map();
    /** The locks that were lost, until their leases have surely ended. @type {Map<string, number>} */
    this.lapsed = new Map();
    this.tidied = 0;
    /** closed: takes no more calls; over: not even releases. */
    this.closed = false;
    this.over = false;
    /** What went wrong last. @type {unknown} */
    this.cause = undefined;
    /** The longest wait that one request asks for: a longer one is asked for anew before it ends, which keeps the place. */
    this.longestAskMs = 60_000;
    /** Called as the client begins to close, and as it is over. @type {Set<() => void>} */
    this.closings = new Set();
    /** @type {Set<() => void>} */
    this.endings = new Set();
    /** Work that nobody waits for but close. @type {Set<Promise<void>>} */
    this.tasks = new Set();
    this.loose = 0;
    this.attended = 0;
    /** @type {NodeJS.Timeout | undefined} */
    this.lingering = undefined;
    /** @type {NodeJS.Timeout | undefined} */
    this.anchor = undefined;
    /** @type {(() => void) | undefined} */
    this.calmed = undefined;
    this.rest = new Rest(this);
    this.calls = new Calls(this);
    this.link = new Link(this);
  }

  /** Where the service refused a wait as too long, waits are asked for in smaller parts. Whether that may help. */
  shortenAsk() {
    if (this.longestAskMs <= 1000) return false;
    this.longestAskMs = Math.max(this.longestAskMs / 2, 1000);
    return true;
  }

  /**
   * Keeps the process alive while somebody waits for this. Nothing else of the client does: sockets and timers are
   * unref'd.
   * @template T
   * @param {Promise<T>} work
   * @returns {Promise<T>}
   */
  async attend(work) {
    this.#attend();
    try {
      return await work;
    } finally {
      this.#unattend();
    }
  }

  #attend() {
    if (this.attended++ === 0) this.anchor = setInterval(nothing, LONGEST_MS);
  }

  #unattend() {
    if (--this.attended === 0) clearInterval(this.anchor);
  }

  /**
   * Notes work that nobody waits for but close.
   * @param {() => Promise<unknown>} work
   */
  background(work) {
    const task = work().then(nothing, (error) => this.log.warn('work in the background failed', { why: why(error) }));
    this.tasks.add(task);
    void task.then(() => this.tasks.delete(task));
  }

  /** Notes one more thing that is given back while nobody waits for it. */
  loosen() {
    if (this.loose++ > 0 || this.lingering) return;
    this.#attend(); // a process that could end gives it the time that close would
    this.lingering = after(CLOSE_MS, () => this.#endLingering());
  }

  tighten() {
    if (--this.loose > 0) return;
    if (this.lingering) this.#endLingering();
    this.calmed?.();
  }

  #endLingering() {
    clearTimeout(this.lingering);
    this.lingering = undefined;
    this.#unattend();
  }

  /**
   * Waits, less where the signal is aborted or the client ends. Whether neither did.
   * @param {number} ms
   * @param {AbortSignal} [signal]
   * @param {Set<() => void>} [ends] by default as the client begins to close
   * @returns {Promise<boolean>}
   */
  pause(ms, signal, ends = this.closings) {
    if (signal?.aborted || (ends === this.closings ? this.closed : this.over)) return Promise.resolve(false);
    return new Promise((resolve) => {
      const end = (/** @type {boolean} */ whole) => {
        clearTimeout(timer);
        ends.delete(stop);
        signal?.removeEventListener('abort', stop);
        resolve(whole);
      };
      const stop = () => end(false);
      const timer = after(ms, () => end(true));
      ends.add(stop);
      signal?.addEventListener('abort', stop);
    });
  }

  /**
   * Keeps the id of a lock that was lost until its lease has surely ended: the service may tell of the grant once more
   * until then, and it is not to be given back before its end, which somebody may rely on.
   * @param {string} lockId
   * @param {number} end
   */
  lapse(lockId, end) {
    const at = now();
    if (at - this.tidied > 1000) {
      this.tidied = at;
      for (const [id, until] of this.lapsed) if (at > until) this.lapsed.delete(id);
    }
    this.lapsed.set(lockId, end);
  }

  /** Finds the locks whose time has come. */
  sweep() {
    for (const holding of [...this.held.values()]) void holding.held;
  }

  /** Ends waits, gives back what is held, and leaves nothing behind. */
  async close() {
    this.closed = true;
    for (const stop of [...this.closings]) stop();
    this.calls.close();
    for (const holding of [...this.held.values()]) holding.letGo();
    await this.#calm();
    this.over = true;
    for (const stop of [...this.endings]) stop();
    this.calls.end();
    await this.link.close();
    this.rest.close();
    await Promise.all(this.tasks);
    if (this.lingering) this.#endLingering();
  }

  /** Waits until all is given back. */
  async #calm() {
    if (this.loose === 0) return;
    await new Promise((resolve) => {
      const timer = after(CLOSE_MS, () => {
        this.log.warn('closed with something not given back: leases run out', { calls: this.loose });
        this.calmed?.();
      });
      this.calmed = () => {
        clearTimeout(timer);
        this.calmed = undefined;
        resolve(undefined);
      };
    });
  }
}

module.exports = { Core };

'use strict';

const { inspect } = require('node:util');
const { acquire } = require('./acquire');
const { Core } = require('./core');
const { LockHeldError, LockLostError, closed, invalid, why } = require('./errors');
const { Lock, asyncDispose } = require('./lock');
const { checkName, lockPath } = require('./names');
const { owners } = require('./owner');
const { releaseById } = require('./release');
const { renewByToken } = require('./renew');
const { Request, TRY, USING, checkDuration } = require('./request');
const { checkKnown, checkText, readSettings } = require('./settings');
const { Subscriber, checkList } = require('./subscriber');
const { told } = require('./told');

/** @typedef {import('../client').AcquireOptions} AcquireOptions */

const USING_TTL_MS = 30_000;
const PAGE = '1000';

/** Talks to the lock service. client.d.ts documents it. */
class DistributedLockClient {
  #core;
  /** @type {Promise<void> | undefined} */
  #closing;

  /**
   * @param {string | URL} url
   * @param {import('../client').ClientOptions} [options]
   */
  constructor(url, options) {
    this.#core = new Core(readSettings(url, options));
  }

  get clientId() {
    return this.#core.settings.clientId;
  }

  /** @template T @param {() => Promise<T>} work @returns {Promise<T>} */
  #told(work) {
    return told(this.#core, async () => {
      if (this.#core.closed) throw closed();
      return work();
    });
  }

  /** @param {string} name @param {number} [ttlMs] @param {AcquireOptions} [options] */
  acquire(name, ttlMs, options = {}) {
    return this.#acquire(() => new Request(name, ttlMs, options));
  }

  /** @param {string} name @param {number} [ttlMs] @param {AcquireOptions} [options] */
  async tryAcquire(name, ttlMs, options = {}) {
    try {
      return await this.#acquire(() => {
        checkKnown(options, TRY);
        return new Request(name, ttlMs, { ...options, waitMs: 0 });
      });
    } catch (error) {
      if (error instanceof LockHeldError) return null;
      throw error;
    }
  }

  /** @param {() => Request} read @returns {Promise<Lock>} */
  #acquire(read) {
    return this.#told(async () => (await acquire(this.#core, read())).lock);
  }

  /**
   * @template T
   * @param {string} name
   * @param {any} options
   * @param {any} [fn]
   * @returns {Promise<T>}
   */
  async using(name, options, fn) {
    if (typeof options === 'function') [options, fn] = [{}, options];
    options ??= {};
    const lock = await this.#acquire(() => {
      if (typeof fn !== 'function') throw invalid('fn', 'must be a function');
      checkKnown(options, USING);
      const { ttlMs = USING_TTL_MS, ...rest } = options;
      return new Request(name, ttlMs, { ...rest, autoRenew: rest.autoRenew ?? true });
    });
    return this.#core.attend(this.#inside(lock, fn));
  }

  /**
   * Runs a block, and releases its lock.
   * @param {Lock} lock
   * @param {any} fn
   */
  async #inside(lock, fn) {
    let result;
    try {
      result = await owners.run(lock.ownerId, () => fn(lock.signal, lock));
    } catch (error) {
      await this.#leave(lock).catch(() => {}); // the function's own error is the one to tell
      throw error;
    }
    await this.#leave(lock);
    return result;
  }

  /** Releases the lock of a block. Only its loss is an error: otherwise the lease ends it. @param {Lock} lock */
  async #leave(lock) {
    try {
      await lock.release();
    } catch (error) {
      if (error instanceof LockLostError) throw error;
      this.#core.log.warn('not released', { lock: lock.name, why: why(error) });
    }
  }

  /** @template T @param {string} owner @param {() => T} fn @returns {T} */
  withOwner(owner, fn) {
    checkText('owner', owner);
    return owners.run(owner, fn);
  }

  /** @param {string} name @param {string} lockId */
  release(name, lockId) {
    return this.#told(async () => {
      checkText('lockId', lockId);
      return releaseById(this.#core, checkName(name), lockId);
    });
  }

  /** @param {string} name @param {string} renewalToken @param {number} [ttlMs] */
  renew(name, renewalToken, ttlMs) {
    return this.#told(async () => {
      checkText('renewalToken', renewalToken);
      return renewByToken(this.#core, checkName(name), renewalToken, checkDuration('ttlMs', ttlMs, 0));
    });
  }

  /** @param {string} path @param {Record<string, string>} [query] */
  #get(path, query) {
    return this.#told(() => this.#core.rest.json({ method: 'GET', path, query }));
  }

  /** @param {string} name */
  status(name) {
    return this.#told(async () => {
      const path = lockPath(checkName(name), 'status');
      return this.#core.rest.json({ method: 'GET', path, lockName: name });
    });
  }

  /** @param {string} [prefix] */
  async *list(prefix = '') {
    /** @type {Record<string, string>} */
    const query = { limit: PAGE, ...(prefix && { prefix }) };
    do {
      const page = await this.#get('/locks', query);
      yield* page.locks;
      query.cursor = page.nextCursor;
    } while (query.cursor);
  }

  stats() {
    return this.#get('/locks/stats');
  }

  graph() {
    return this.#get('/graph');
  }

  graphDot() {
    return this.#told(() => this.#core.rest.call({ method: 'GET', path: '/graph', query: { format: 'dot' } }));
  }

  health() {
    return this.#get('/health');
  }

  /** @param {string} name @param {string} [reason] */
  forceRelease(name, reason) {
    return this.#told(async () => {
      const query = reason ? { reason } : undefined;
      const path = lockPath(checkName(name));
      return (await this.#core.rest.json({ method: 'DELETE', path, query, lockName: name })).holders;
    });
  }

  /**
   * @param {string | string[]} [locks]
   * @param {string[]} [events]
   * @param {{signal?: AbortSignal}} [options]
   */
  subscribe(locks = '*', events, options = {}) {
    const core = this.#core;
    if (core.closed) throw closed();
    checkKnown(options, new Set(['signal']));
    const kinds = events && checkList('events', events);
    const subscriber = new Subscriber(core, checkList('locks', locks), kinds, options.signal);
    const leave = async () => {
      subscriber.leave();
      return { done: /** @type {const} */ (true), value: undefined };
    };
    return {
      next: () => told(core, () => subscriber.next()),
      return: leave,
      [Symbol.asyncIterator]() {
        return this;
      },
      [asyncDispose]: async () => void (await leave()),
    };
  }

  close() {
    this.#closing ??= this.#core.attend(this.#core.close());
    return this.#closing;
  }

  [asyncDispose]() {
    return this.close();
  }

  /** @param {number} depth @param {import('node:util').InspectOptions} options */
  [inspect.custom](depth, options) {
    const { clientId, endpoints } = this.#core.settings;
    return `DistributedLockClient ${inspect({ clientId, endpoints: endpoints.map(String) }, { ...options, depth })}`;
  }
}

module.exports = { DistributedLockClient, Lock };

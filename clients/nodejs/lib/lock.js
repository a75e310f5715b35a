'use strict';

const { inspect } = require('node:util');
const { told } = require('./told');
const { checkDuration } = require('./request');

// The first releases of Node 20 have no such symbol.
/** @type {typeof Symbol.asyncDispose} */
const asyncDispose = Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose');

/** A lock that was granted, as its user sees it. client.d.ts documents it. */
class Lock {
  #holding;

  /** @param {import('./holding').Holding} holding */
  constructor(holding) {
    this.#holding = holding;
  }

  get lockId() {
    return this.#holding.lockId;
  }

  get name() {
    return this.#holding.name;
  }

  get clientId() {
    return this.#holding.clientId;
  }

  get ownerId() {
    return this.#holding.ownerId;
  }

  get requestId() {
    return this.#holding.requestId;
  }

  get renewalToken() {
    return this.#holding.renewalToken;
  }

  get fencingToken() {
    return this.#holding.fencingToken;
  }

  get waitedMs() {
    return this.#holding.waitedMs;
  }

  get autoRenew() {
    return this.#holding.autoRenew;
  }

  get metadata() {
    return this.#holding.metadata;
  }

  get held() {
    return this.#holding.held;
  }

  get lost() {
    return !this.#holding.held && this.#holding.state === 'lost';
  }

  get leftMs() {
    return this.#holding.held ? this.#holding.leftMs : 0;
  }

  get signal() {
    return this.#holding.signal;
  }

  ensureHeld() {
    this.#holding.ensureHeld();
  }

  /** @param {number} [ttlMs] */
  async renew(ttlMs) {
    const { core } = this.#holding;
    await told(core, () => this.#holding.renew(checkDuration('ttlMs', ttlMs, 0)));
  }

  async release() {
    await told(this.#holding.core, () => this.#holding.release());
  }

  async [asyncDispose]() {
    await this.release();
  }

  /** All but the secrets. */
  toJSON() {
    const { name, clientId, ownerId, requestId, fencingToken, waitedMs, autoRenew, metadata, held, leftMs } = this;
    return { name, clientId, ownerId, requestId, fencingToken, waitedMs, autoRenew, metadata, held, leftMs };
  }

  /** @param {number} depth @param {import('node:util').InspectOptions} options */
  [inspect.custom](depth, options) {
    return `Lock ${inspect(this.toJSON(), { ...options, depth })}`;
  }
}

module.exports = { Lock, asyncDispose };

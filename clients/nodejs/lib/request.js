'use strict';

const { AsyncResource } = require('node:async_hooks');
const { randomUUID } = require('node:crypto');
const { invalid } = require('./errors');
const { checkName } = require('./names');
const { owners } = require('./owner');
const { checkKnown, checkText } = require('./settings');

/** @typedef {import('../client').AcquireOptions} AcquireOptions */

const WAIT_MS = 30_000;

// The options that there are, by call.
const TRY = new Set(['autoRenew', 'maxHoldMs', 'metadata', 'shared', 'limit', 'owner', 'requestId', 'signal']);
const ACQUIRE = new Set([...TRY, 'waitMs', 'onQueued']);
const USING = new Set([...ACQUIRE, 'ttlMs']);

/** One logical acquire, over all its tries. */
class Request {
  /**
   * @param {unknown} name
   * @param {unknown} ttlMs
   * @param {AcquireOptions} options checked here
   */
  constructor(name, ttlMs, options) {
    checkKnown(options, ACQUIRE);
    this.name = checkName(name);
    this.ttlMs = checkDuration('ttlMs', ttlMs, 0);
    this.waitMs = checkDuration('waitMs', options.waitMs, WAIT_MS, true);
    this.maxHoldMs = checkDuration('maxHoldMs', options.maxHoldMs, Infinity, true);
    this.autoRenew = checkBoolean('autoRenew', options.autoRenew);
    this.shared = checkBoolean('shared', options.shared);
    this.limit = options.limit;
    if (this.limit !== undefined && !Number.isInteger(this.limit)) throw invalid('limit', 'must be a whole number');
    this.metadata = snapshot(options.metadata);
    this.owner = options.owner ?? owners.getStore() ?? randomUUID();
    this.id = options.requestId ?? randomUUID();
    checkText('owner', this.owner);
    checkText('requestId', this.id);
    this.signal = options.signal;
    if (this.signal !== undefined && !(this.signal instanceof AbortSignal)) {
      throw invalid('signal', 'must be an AbortSignal');
    }
    this.onQueued = listener(options.onQueued);
  }

  /**
   * The fields of an acquire, over whatever it goes. The client renews by itself, so the service is not asked to.
   * @param {number} waitMs
   */
  body(waitMs) {
    return {
      timeout: this.ttlMs ? this.ttlMs / 1000 : undefined,
      waitTimeout: waitMs > 0 ? Math.round(waitMs * 1000) / 1e6 : undefined,
      metadata: this.metadata,
      ownerId: this.owner,
      requestId: this.id,
      mode: this.shared ? 'shared' : undefined,
      limit: this.limit,
    };
  }
}

/**
 * @param {string} field
 * @param {unknown} ms
 * @param {number} otherwise
 * @param {boolean} [unbounded] whether Infinity is allowed
 * @returns {number}
 */
function checkDuration(field, ms, otherwise, unbounded = false) {
  if (ms === undefined) return otherwise;
  if (typeof ms !== 'number' || !(ms >= 0) || (ms === Infinity && !unbounded)) {
    throw invalid(field, `must be a number of milliseconds that is not below 0, not ${String(ms)}`);
  }
  return ms;
}

/** @param {string} field @param {unknown} value */
function checkBoolean(field, value = false) {
  if (typeof value !== 'boolean') throw invalid(field, 'must be true or false');
  return value;
}

/**
 * Metadata as it is at the time of the call: all tries must say the same.
 * @param {unknown} metadata
 */
function snapshot(metadata) {
  if (metadata === undefined || metadata === null) return undefined;
  if (typeof metadata !== 'object' || Array.isArray(metadata)) throw invalid('metadata', 'must be an object');
  try {
    return JSON.parse(JSON.stringify(metadata));
  } catch (error) {
    throw invalid('metadata', `cannot be JSON: ${/** @type {Error} */ (error).message}`);
  }
}

/**
 * A listener as it is called by a connection: in its caller's context, and what it throws is thrown as by any event
 * listener, not into the connection.
 * @param {unknown} onQueued
 * @returns {((place: import('../client').Place) => void) | undefined}
 */
function listener(onQueued) {
  if (onQueued === undefined) return undefined;
  if (typeof onQueued !== 'function') throw invalid('onQueued', 'must be a function');
  const bound = AsyncResource.bind(/** @type {(place: object) => void} */ (onQueued));
  return (place) => process.nextTick(bound, place);
}

module.exports = { Request, checkDuration, TRY, USING };

'use strict';

/**
 * @typedef {object} Told what an answer says of a lease
 * @property {number} ttlMs what is left of it
 * @property {number} expires when it ends, by the service's clock
 */

/**
 * How long before the lease's end a lock counts as lost.
 * @param {number} ttlMs
 */
const margin = (ttlMs) => Math.min(Math.max(ttlMs / 10, 10), 500);

/**
 * When a lease ends, by the local monotonic clock, in ms. `ends` is at the earliest, `endsLast` at the latest: the one
 * to stop by, and the other after which nobody holds anything.
 */
class Lease {
  /**
   * The lease of a grant.
   * @param {import('./clock').ServiceClock} clock
   * @param {Told} told
   * @param {number} lengthMs what was asked for, 0 for the service's default: what is left of it may be less by now
   * @param {number} first when the request was first sent
   * @param {number} received
   */
  constructor(clock, told, lengthMs, first, received) {
    this.ttlMs = lengthMs || told.ttlMs;
    this.endsLast = received + told.ttlMs;
    // The service read what is left after the request had been sent. Where that was long ago, its clock tells more.
    const proven = clock.local(told.expires, received);
    this.ends = Math.min(Math.max(first + told.ttlMs, proven ?? 0), this.endsLast);
    // Whether nothing but the request's moment was known of when the lease began.
    this.unproven = proven === undefined;
  }

  /** When the lock counts as lost. */
  get lostAt() {
    return this.ends - margin(this.ttlMs);
  }

  /** Whether so little is known of the lease's beginning that a new one is better. It is asked once. */
  unclear() {
    const unclear = this.unproven && this.endsLast - this.ends > margin(this.ttlMs);
    this.unproven = false;
    return unclear;
  }

  /**
   * Takes a new lease.
   * @param {number} ttlMs
   * @param {number} from the moment after which it began
   * @param {number} received
   */
  extend(ttlMs, from, received) {
    this.ttlMs = ttlMs;
    this.ends = from + ttlMs;
    this.endsLast = received + ttlMs;
  }

  /**
   * The lease may have been renewed from then on, or not: with one that is shorter, it may end sooner.
   * @param {number} from
   * @param {number} ttlMs
   * @returns {boolean} whether anything changed
   */
  unsure(from, ttlMs) {
    const ends = from + ttlMs;
    if (!from || !ttlMs || ends >= this.ends) return false;
    this.ends = ends;
    return true;
  }
}

module.exports = { Lease, margin };

'use strict';

// How far two clocks may part: 200 ppm is twice what is usual for bad ones.
const DRIFT = 200e-6;
// The service's times are cut to milliseconds.
const ROUNDING_MS = 2;

/**
 * Bounds how far the service's clock is ahead of the local one. Only the upper bound counts: by it a lease ends, here, no
 * later than it does there. All times are ms; the service's from the epoch, local ones of the monotonic clock.
 */
class ServiceClock {
  #ahead = 0; // at most
  #learnt = 0; // when that was learnt
  #known = false;

  /** The older the bound is, the farther the clocks may have parted. @param {number} at */
  #bound(at) {
    return this.#ahead + (at - this.#learnt) * DRIFT;
  }

  /**
   * Takes in a time that the service told: it was read at some moment between sent and received.
   * @param {number} server
   * @param {number} sent
   * @param {number} received
   */
  learn(server, sent, received) {
    const most = server - sent + ROUNDING_MS;
    const least = server - received;
    const bound = this.#bound(received);
    // least > bound: its clock was set forward
    if (!this.#known || most < bound || least > bound) {
      this.#ahead = most;
      this.#learnt = received;
      this.#known = true;
    }
  }

  /**
   * Takes in a time that the service told at an unknown moment before received. Where that cannot be, its clock was set
   * forward, and what was known is worth nothing.
   * @param {number} server
   * @param {number} received
   */
  doubt(server, received) {
    if (this.#known && server - received > this.#bound(received)) this.#known = false;
  }

  /**
   * The earliest local moment that a moment of the service's clock may be.
   * @param {number} server
   * @param {number} at the local time now
   * @returns {number | undefined} undefined where nothing is known
   */
  local(server, at) {
    return this.#known ? server - this.#bound(at) : undefined;
  }
}

module.exports = { ServiceClock };

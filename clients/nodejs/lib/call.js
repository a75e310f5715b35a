'use strict';

/**
 * @typedef {object} Answer how a call came out
 * @property {unknown} [error]
 * @property {import('./holding').Holding} [holding] of an acquire
 * @property {number} [heldForMs] of a release
 * @property {import('../client').Renewal} [renewal]
 * @property {boolean} [resent] whether it was sent more than once
 * @property {boolean} [rest] nothing came of it: ask over REST
 */

/** @typedef {'acquire' | 'release' | 'renew' | 'subscribe' | 'unsubscribe'} Kind */

// A longer wait than one frame asks for is asked for anew when a sixth of the frame's is left.
const LEAD = 6;

/** A frame that waits for its answer, over as many connections as it takes. */
class Call {
  /**
   * @param {Kind} kind
   * @param {Partial<Call>} about
   */
  constructor(kind, about) {
    this.kind = kind;
    this.id = 0;
    /** The ids that an acquire had before: each ask is answered. @type {number[]} */
    this.older = [];
    this.name = '';
    /** What a release or renew is authorized by, or a subscription's name. */
    this.secret = '';
    /** @type {number | undefined} */
    this.ttlMs = undefined;
    /** @type {import('./request').Request | undefined} */
    this.request = undefined;
    /** @type {import('./subscriber').Subscriber | undefined} */
    this.subscriber = undefined;
    /** Whose renewal it is, if any. @type {import('./holding').Holding | undefined} */
    this.holding = undefined;
    /** When a bounded wait ends; how long the last frame asked to wait, until when. */
    this.waitEnd = Infinity;
    this.askedMs = 0;
    this.askedEnd = Infinity;
    /** When it was first and last sent, 0 for never; whether the last frame was told to wait, and since when any was. */
    this.first = 0;
    this.sent = 0;
    this.queued = false;
    this.since = 0;
    /** Whether nobody waits for the answer any more: a grant goes back. */
    this.unattended = false;
    /** Told of the answer, by whoever waits for it. @type {((answer: Answer) => void) | undefined} */
    this.settle = undefined;
    /** The last place in line that was told. @type {import('../client').Place | undefined} */
    this.place = undefined;
    Object.assign(this, about);
  }

  /**
   * The frame to send now.
   * @param {number} at the local time
   * @param {number} longestAskMs
   */
  frame(at, longestAskMs) {
    const head = { type: this.kind, id: String(this.id) };
    switch (this.kind) {
      case 'acquire': {
        const request = /** @type {import('./request').Request} */ (this.request);
        this.askedMs = request.waitMs === 0 ? 0 : Math.min(Math.max(this.waitEnd - at, 1), longestAskMs);
        this.askedEnd = at + this.askedMs;
        return { ...head, lockName: this.name, ...request.body(this.askedMs) };
      }
      case 'release':
        return { ...head, lockName: this.name, lockId: this.secret };
      case 'renew':
        return { ...head, lockName: this.name, renewalToken: this.secret, timeout: this.ttlMs && this.ttlMs / 1000 };
      case 'subscribe':
        return { ...head, ...this.subscriber?.body };
      case 'unsubscribe':
        return { ...head, subscription: this.secret };
    }
  }

  /** When a wait must be asked for anew, Infinity for never. */
  get refreshAt() {
    if (this.kind !== 'acquire' || this.askedMs === 0 || this.waitEnd <= this.askedEnd) return Infinity;
    return this.askedEnd - this.askedMs / LEAD;
  }

  /** @param {import('../client').Place} place */
  moveTo(place) {
    if (this.place?.position === place.position) return;
    this.place = place;
    this.request?.onQueued?.(place);
  }
}

module.exports = { Call };

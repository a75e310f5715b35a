'use strict';

const { LockLostError, closed, lossOf, releasedOf, retryable, NotOwnerError, why } = require('./errors');
const { Lease } = require('./lease');
const { Lock } = require('./lock');
const { apart } = require('./owner');
const { releaseLater, releaseUntil } = require('./release');
const { renewOnce } = require('./renew');
const { after, backoff, now } = require('./timing');

const RELEASE_MS = 5000;

/** A lock that was granted, from the grant to its release or loss: what is behind a Lock. */
class Holding {
  /** @type {'held' | 'released' | 'lost'} */
  state = 'held';
  /** @type {NodeJS.Timeout | undefined} */
  #timer;
  /** @type {NodeJS.Timeout | undefined} */
  #renewal;
  /** The renewal under way: they come one after another. @type {Promise<unknown>} */
  #turn = Promise.resolve();
  /** Makes the error of its end, which most never look at. @type {() => unknown} */
  #tellEnd = () => undefined;
  /** @type {unknown} */
  #end;
  /** @type {AbortController | undefined} */
  #controller;
  /** The renewal that somebody waits for. @type {import('./call').Call | undefined} */
  renewing;
  /** Whether a release was sent; whether the service has answered one, or it is pointless. */
  #tried = false;
  #settled = false;
  /** @type {Promise<void> | undefined} */
  #releasing;

  /**
   * @param {import('./core').Core} core
   * @param {import('./request').Request} request
   * @param {any} told the grant's body
   * @param {number} first when it was first asked for
   * @param {number} received
   */
  constructor(core, request, told, first, received) {
    this.core = core;
    this.name = request.name;
    this.clientId = core.settings.clientId;
    this.ownerId = request.owner;
    this.requestId = request.id;
    this.autoRenew = request.autoRenew;
    this.maxHoldMs = request.maxHoldMs;
    this.lockId = told.lockId;
    this.renewalToken = told.renewalToken;
    this.fencingToken = told.fencingToken;
    this.metadata = told.metadata ?? null;
    this.waitedMs = told.waitTime * 1000;
    this.granted = received;
    const lease = { ttlMs: told.ttlMs, expires: Date.parse(told.expiresAt) };
    this.lease = new Lease(core.clock, lease, request.ttlMs, first, received);
    this.lock = new Lock(this);
    core.held.set(this.lockId, this);
    this.#loseInTime();
  }

  #loseInTime() {
    clearTimeout(this.#timer);
    this.#timer = after(this.lease.lostAt - now(), () => {
      if (this.held) this.#loseInTime();
    });
  }

  /** Whether it is held, this very moment: a process that was busy or asleep may get here before its timer. */
  get held() {
    if (this.state === 'held' && now() >= this.lease.lostAt) this.lose('its lease ended and was not renewed');
    return this.state === 'held';
  }

  /** Why it is no longer held. */
  get end() {
    return (this.#end ??= this.#tellEnd());
  }

  ensureHeld() {
    if (!this.held) throw this.end;
  }

  /** How long the lease lasts at the least. */
  get leftMs() {
    return this.lease.ends - now();
  }

  get signal() {
    if (!this.#controller) {
      this.#controller = new AbortController();
      if (!this.held) this.#controller.abort(this.end);
    }
    return this.#controller.signal;
  }

  /**
   * Ends the lock for a reason. The first end counts.
   * @param {string} reason
   */
  lose(reason) {
    if (this.state !== 'held') return;
    this.core.log.warn('lock lost', { lock: this.name, fencingToken: this.fencingToken, why: reason });
    this.#stop('lost', () => lossOf(this.name, reason));
    this.core.lapse(this.lockId, this.lease.endsLast);
  }

  /** @param {'released' | 'lost'} state @param {() => unknown} tellEnd */
  #stop(state, tellEnd) {
    this.state = state;
    this.#tellEnd = tellEnd;
    clearTimeout(this.#timer);
    clearTimeout(this.#renewal);
    if (this.core.held.get(this.lockId) === this) this.core.held.delete(this.lockId);
    if (this.renewing) this.core.calls.settle(this.renewing, { error: this.end });
    // Listeners run as if by themselves, in no caller's context.
    if (this.#controller) apart(() => this.#controller?.abort(this.end));
  }

  /**
   * Takes a new lease.
   * @param {number} ttlMs
   * @param {number} from
   * @param {number} received
   */
  extend(ttlMs, from, received) {
    if (this.state !== 'held') return;
    this.lease.extend(ttlMs, from, received);
    if (this.held) this.#loseInTime();
  }

  /** @param {number} from @param {number} ttlMs */
  unsure(from, ttlMs) {
    if (this.lease.unsure(from, ttlMs) && this.held) this.#loseInTime();
  }

  /**
   * Gives the lock a new lease from now on, and tries until it is lost.
   * @param {number} [ttlMs]
   * @param {AbortSignal} [signal]
   * @returns {Promise<void>}
   */
  renew(ttlMs = 0, signal) {
    const renewal = this.#turn.then(() => this.#renew(ttlMs, signal));
    this.#turn = renewal.catch(() => {});
    return renewal;
  }

  /** @param {number} ttlMs @param {AbortSignal} [signal] */
  async #renew(ttlMs, signal) {
    for (let attempt = 0; ; attempt++) {
      if (signal?.aborted) throw signal.reason;
      this.ensureHeld();
      try {
        return await renewOnce(this, ttlMs, signal);
      } catch (error) {
        if (error instanceof LockLostError || error instanceof NotOwnerError) {
          this.lose('the service no longer knows it');
        } else if (!retryable(error)) throw error;
      }
      this.ensureHeld();
      const pause = Math.min(backoff(attempt), this.lease.lostAt - now());
      if (!(await this.core.pause(pause, signal))) throw signal?.aborted ? signal.reason : closed();
    }
  }

  /** Has the lock renewed until it ends: every third of the lease, a little less, so that many do not come at once. */
  keep() {
    if (this.state !== 'held') return;
    const third = (this.lease.ttlMs / 3) * (1 - Math.random() / 10);
    const soon = (this.lease.lostAt - now()) / 2; // where little is left of the lease
    clearTimeout(this.#renewal);
    this.#renewal = after(Math.min(third, soon), () => void this.#renewNow());
  }

  async #renewNow() {
    if (this.core.closed || now() - this.granted >= this.maxHoldMs) return; // the lease runs out
    try {
      await this.renew();
    } catch (error) {
      // A refusal that is none of the lock's: what can be done is to try again as long as the lease lives.
      if (this.state === 'held') this.core.log.warn('a renewal failed', { lock: this.name, why: why(error) });
    }
    this.keep();
  }

  /** Gives the lock back. @returns {Promise<void>} */
  release() {
    this.#releasing ??= this.#release().finally(() => (this.#releasing = undefined));
    return this.#releasing;
  }

  async #release() {
    if (!this.held && this.state === 'lost') {
      const { lockId, name } = this;
      // The lease may live a little longer: the next in line need not wait for its end.
      if (!this.#settled) releaseLater(this.core, name, lockId);
      this.#settled = true;
      throw this.end;
    }
    if (this.#settled) return;
    if (this.state === 'held') this.#stop('released', () => releasedOf(this.name));
    const before = this.#tried;
    this.#tried = true;
    const until = Math.min(now() + RELEASE_MS, this.lease.endsLast);
    const { error, resent } = await releaseUntil(this.core, this.name, this.lockId, until);
    this.#conclude(error, before || !!resent);
  }

  /**
   * Notes how a release came out. A grant that is gone on the second try was released by the first.
   * @param {unknown} error
   * @param {boolean} again
   */
  #conclude(error, again) {
    const gone = error instanceof LockLostError;
    if (!error || (gone && again) || this.#settled || now() > this.lease.endsLast) {
      this.#settled = true; // in the last case, nobody holds anything by this grant any more
      return;
    }
    if (gone) {
      this.#settled = true;
      this.state = 'lost';
      this.#end = error;
    }
    throw error; // where it is no answer, another try may do it
  }

  /** Releases the lock, and nobody waits for it: for a client that closes, or a grant that nobody wants any more. */
  letGo() {
    if (this.state === 'held') this.#stop('released', () => releasedOf(this.name));
    if (this.#settled) return;
    this.#settled = true;
    releaseLater(this.core, this.name, this.lockId);
  }
}

module.exports = { Holding };

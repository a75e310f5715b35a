'use strict';

const { Call } = require('./call');
const { closed, fromProblem, retryable, retryAfterMs, unavailable } = require('./errors');
const { after, backoff, now } = require('./timing');

// For how long a call that nobody waits for is tried again.
const STUBBORN_MS = 60_000;

/** @typedef {import('./call').Answer} Answer */

/** The calls that have no answer yet. */
class Calls {
  #lastId = 0;

  /** @param {import('./core').Core} core */
  constructor(core) {
    this.core = core;
    /** By all ids that an answer may come under. @type {Map<number, Call>} */
    this.pending = new Map();
  }

  /**
   * Sends a call, now or as soon as there is a connection.
   * @param {Call} call
   */
  submit(call) {
    const { core } = this;
    if (core.over || (core.closed && !call.unattended && call.kind !== 'release')) throw closed();
    this.rename(call);
    if (this.#isLoose(call)) core.loosen();
    if (core.link.conn) {
      if (core.link.conn.put(call)) return;
      this.forget(call);
      throw tooLarge(call.name);
    }
    core.link.start();
  }

  /**
   * Waits for the answer: until the signal is aborted, or until then, in which cases the call is given up and taken back.
   * A connection that says nothing for the patience is given up.
   * @param {Call} call
   * @param {{signal?: AbortSignal, until?: number, patienceMs: number}} how
   * @returns {Promise<Answer>}
   */
  wait(call, { signal, until = Infinity, patienceMs }) {
    const { core } = this;
    return new Promise((resolve, reject) => {
      /** @type {NodeJS.Timeout} */
      let timer;
      let over = false;
      const end = () => {
        over = true;
        clearTimeout(timer);
        signal?.removeEventListener('abort', abort);
      };
      const stop = (/** @type {unknown} */ why) => {
        end();
        this.leave(call);
        reject(why);
      };
      const abort = () => stop(signal?.reason);
      const look = () => {
        if (over) return;
        if (now() >= until) return stop(unavailable(core.cause, call.name));
        core.link.look(call, patienceMs);
        watch();
      };
      const watch = () => {
        // What came while this process was busy is read before anything is thought of the node's silence.
        timer = after(core.link.nextLook(call, until, patienceMs) - now(), () => setImmediate(look));
      };
      call.settle = (answer) => {
        end();
        resolve(answer);
      };
      signal?.addEventListener('abort', abort);
      watch();
    });
  }

  /**
   * Gives a call an id that no answer has come under.
   * @param {Call} call
   */
  rename(call) {
    call.id = ++this.#lastId;
    call.queued = false;
    this.pending.set(call.id, call);
  }

  /**
   * Asks for the place of a waiting acquire again, with more time.
   * @param {Call} call
   */
  refresh(call) {
    const { conn } = this.core.link;
    if (!conn || this.pending.get(call.id) !== call) return; // the next connection asks anyway
    call.older.push(call.id);
    this.rename(call);
    conn.put(call);
  }

  /** @param {Call} call */
  forget(call) {
    this.forgetIds(call);
    if (this.#isLoose(call)) this.core.tighten();
  }

  /**
   * Takes out all ids of a call, which may go on under another.
   * @param {Call} call
   */
  forgetIds(call) {
    this.pending.delete(call.id);
    for (const id of call.older) this.pending.delete(id);
    call.older = [];
  }

  /** Whether close waits for it. @param {Call} call */
  #isLoose(call) {
    return call.unattended || call.kind === 'release';
  }

  /**
   * Answers a call.
   * @param {Call} call
   * @param {Answer} answer
   */
  settle(call, answer) {
    this.forget(call);
    answer.resent = call.first !== call.sent;
    call.settle?.(answer);
  }

  /**
   * Gives a call up for its caller.
   * @param {Call} call
   */
  leave(call) {
    call.settle = undefined;
    if (call.kind === 'renew') call.holding?.unsure(call.first, call.ttlMs ?? 0);
    if (call.kind !== 'acquire' || call.first === 0) return this.forget(call);
    // An acquire that was sent is taken back; what it is granted all the same goes back too.
    call.unattended = true;
    this.core.loosen();
    this.takeBack(call);
  }

  /**
   * Sends the cancels of an acquire: one for each answer that is due. Where there is no connection, the next one does.
   * @param {Call} call
   */
  takeBack(call) {
    const { conn } = this.core.link;
    for (const target of [...call.older, call.id]) {
      conn?.send(JSON.stringify({ type: 'cancel', id: String(++this.#lastId), target: String(target) }));
    }
  }

  /**
   * Releases a grant that nobody wants.
   * @param {string} name
   * @param {string} lockId
   */
  giveBack(name, lockId) {
    if (this.core.over) return;
    this.submit(new Call('release', { name, secret: lockId, unattended: true }));
  }

  /**
   * Whether a release of a grant is under way: another, of a repeat, would only get in its way.
   * @param {string} lockId
   */
  releasing(lockId) {
    return [...this.pending.values()].some((call) => call.kind === 'release' && call.secret === lockId);
  }

  /**
   * The acquire of a grant that was told under an id of an earlier connection.
   * @param {string} name
   * @param {string} requestId
   */
  wanting(name, requestId) {
    return [...this.pending.values()].find((call) => call.request?.id === requestId && call.name === name);
  }

  /**
   * Repeats a call that nobody waits for, a little later, where that may help.
   * @param {Call} call
   * @param {unknown} error
   */
  again(call, error) {
    if (!retryable(error) || now() - call.first > STUBBORN_MS) return false;
    const { id } = call;
    after(backoff(2, Math.min(retryAfterMs(error), 1000)), () => {
      if (this.pending.get(id) === call) this.core.link.conn?.put(call);
    });
    return true;
  }

  /** The calls under way, the oldest first. */
  get underWay() {
    return [...this.pending].filter(([id, call]) => id === call.id).map(([, call]) => call);
  }

  /** Ends what waits, and what nobody waits for but that gives nothing back. */
  close() {
    for (const call of this.underWay) {
      if (call.kind === 'acquire' && !call.unattended) {
        const { settle } = call;
        this.leave(call);
        settle?.({ error: closed() });
      } else if (call.unattended && call.kind !== 'acquire' && call.kind !== 'release') {
        this.settle(call, {});
      }
    }
  }

  /** Ends everything. */
  end() {
    for (const call of this.underWay) this.settle(call, { error: closed() });
  }
}

/** @param {string} lockName */
function tooLarge(lockName) {
  const detail = 'A request may have 64 KiB at most.';
  return fromProblem({ code: 'too_large', status: 413, title: 'The frame is too large', detail }, { lockName });
}

module.exports = { Calls, tooLarge };

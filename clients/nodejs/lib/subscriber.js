'use strict';

const { Call } = require('./call');
const { NoWebSocket, closed, invalid, unavailable } = require('./errors');

/** @typedef {import('../client').LockEvent} LockEvent */

// How many events may wait for a subscriber; when more come, they are a gap.
const ROOM = 4096;

/** One subscription, over all connections. */
class Subscriber {
  /** The service's name of it on the current connection, '' while there is none. */
  #name = '';
  #lived = false;
  #over = false;
  /** @type {unknown} */
  #error;
  /** @type {LockEvent[]} */
  #events = [];
  /** Told when there is something to tell. @type {(() => void)[]} */
  #readers = [];

  /**
   * @param {import('./core').Core} core
   * @param {string[]} locks
   * @param {string[] | undefined} events
   * @param {AbortSignal} [signal]
   */
  constructor(core, locks, events, signal) {
    this.core = core;
    this.body = { locks, events };
    this.signal = signal;
    this.stop = () => this.leave();
    this.closed = () => this.end(closed());
    core.link.subscribers.add(this);
    core.closings.add(this.closed);
    signal?.addEventListener('abort', this.stop);
    if (signal?.aborted) this.leave();
    else if (core.link.overRest) this.end(new NoWebSocket('no WebSocket can be had'));
    else if (core.link.conn) this.subscribe();
    else core.link.start();
  }

  /** Asks for it over the current connection. */
  subscribe() {
    this.#name = '';
    try {
      this.core.calls.submit(new Call('subscribe', { subscriber: this, unattended: true }));
    } catch (error) {
      this.end(error);
    }
  }

  /**
   * Notes the service's name of it.
   * @param {import('./connection').Connection} conn
   * @param {string} name
   */
  live(conn, name) {
    this.#name = name;
    if (this.#over) return this.#unsubscribe();
    conn.subscribers.set(name, this);
    if (this.#lived) this.push({ kind: 'gap', at: new Date().toISOString() });
    this.#lived = true;
  }

  #unsubscribe() {
    const { calls, link, closed: gone } = this.core;
    if (!link.conn || !this.#name || gone) return; // one that is only just being answered is ended then
    link.conn.subscribers.delete(this.#name);
    calls.submit(new Call('unsubscribe', { secret: this.#name, unattended: true }));
  }

  /** Adds an event. Where there is no room, all become a gap. @param {LockEvent} event */
  push(event) {
    if (this.#events.length >= ROOM) this.#events = [{ kind: 'gap', at: event.at }];
    this.#events.push(event);
    this.#wake();
  }

  #wake() {
    for (const tell of this.#readers.splice(0)) tell();
  }

  /** Ends it with an error, behind what came before. @param {unknown} error */
  end(error) {
    if (this.#over) return;
    this.#error = error instanceof NoWebSocket ? unavailable(error) : error;
    this.#finish();
  }

  /** Ends it because nobody listens any more. */
  leave() {
    if (!this.#over) this.#finish();
    this.#events = [];
    this.#error = undefined;
    this.#wake();
  }

  #finish() {
    this.#over = true;
    this.core.link.subscribers.delete(this);
    this.core.closings.delete(this.closed);
    this.signal?.removeEventListener('abort', this.stop);
    this.#unsubscribe();
    this.#wake();
  }

  /** @returns {Promise<IteratorResult<LockEvent, undefined>>} */
  async next() {
    for (;;) {
      const value = this.#events.shift();
      if (value) return { done: false, value };
      if (this.#over) break;
      await /** @type {Promise<void>} */ (new Promise((resolve) => this.#readers.push(resolve)));
    }
    const error = this.#error;
    this.#error = undefined;
    if (error) throw error;
    return { done: true, value: undefined };
  }
}

/**
 * @param {string} field
 * @param {unknown} value a string or several
 * @returns {string[]}
 */
function checkList(field, value) {
  const list = typeof value === 'string' ? [value] : value;
  if (!Array.isArray(list) || list.length === 0 || !list.every((text) => typeof text === 'string')) {
    throw invalid(field, 'must be a string, or a list of strings that is not empty');
  }
  return [...list];
}

module.exports = { Subscriber, checkList };

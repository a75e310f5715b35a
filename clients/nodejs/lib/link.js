'use strict';

const { ServiceClock } = require('./clock');
const { Call } = require('./call');
const { tooLarge } = require('./calls');
const { Connection, ConnectionEnd } = require('./connection');
const { NoWebSocket, fromProblem, isRefusal, retryAfterMs, why } = require('./errors');
const { handle } = require('./inbox');
const { apart } = require('./owner');
const { Poller } = require('./poll');
const { releaseOverRest } = require('./release');
const { backoff, now } = require('./timing');

// How long the client goes without a WebSocket after none could be had.
const REST_MS = 60_000;
// How long a connection must have lived for the next one to be tried without a pause.
const SETTLED_MS = 2000;
// How many connections that were made, and soon ended, lengthen the pause before the next.
const MOST_SHORT_LIVED = 4;

/** Sees to it that there is a connection while anything depends on one, and that everything goes on over the next. */
class Link {
  #linking = false;
  /** @type {Promise<void> | undefined} */
  #running;
  /** @type {Connection | undefined} */
  #dialling;
  #session = '';
  #endpoint = 0;
  #restUntil = 0;

  /** @param {import('./core').Core} core */
  constructor(core) {
    this.core = core;
    /** @type {Connection | undefined} */
    this.conn = undefined;
    /** @type {Set<import('./subscriber').Subscriber>} */
    this.subscribers = new Set();
  }

  /** Whether calls go over REST for now. */
  get overRest() {
    return !this.core.settings.webSocket || (!this.conn && now() < this.#restUntil);
  }

  headers() {
    const { token } = this.core.settings;
    return { 'User-Agent': 'distributed-lock-client-nodejs', ...(token && { Authorization: `Bearer ${token}` }) };
  }

  /** Sees to a connection, unless that is done. */
  start() {
    if (this.#linking || this.core.over || this.conn || this.overRest) return;
    this.#linking = true;
    this.#running = apart(() => this.#run()).catch((error) => {
      this.core.log.warn('the connection is not seen to any more', { why: why(error) });
      this.#linking = false; // the next call, or look at one, begins anew
    });
  }

  /** Whether anything depends on a connection. */
  #wanted() {
    const { core } = this;
    return !core.over && core.calls.pending.size + core.held.size + this.subscribers.size > 0;
  }

  async #run() {
    let failures = 0;
    let refusals = 0;
    while (this.#wanted()) {
      this.core.sweep();
      const { conn, error } = await this.#connect();
      if (conn) {
        const end = await conn.gone;
        refusals = 0;
        failures = this.#ended(conn, end) ? 1 : Math.min(failures + 1, MOST_SHORT_LIVED);
        if (failures === 1) continue;
      } else {
        failures++;
        if (error instanceof NoWebSocket) refusals++;
        if (this.#refused(error, refusals)) return;
      }
      // All endpoints have their turn before the pauses grow.
      const pause = backoff(Math.floor((failures - 1) / this.core.settings.endpoints.length), retryAfterMs(error));
      if (!(await this.core.pause(pause, undefined, this.core.endings))) break;
    }
    this.#linking = false;
    if (this.#wanted()) this.start(); // for somebody who came meanwhile
  }

  /** Opens a connection to the current endpoint, which becomes the client's with its welcome. */
  async #connect() {
    const conn = new Connection(this.core, this.core.settings.endpoints[this.#endpoint]);
    this.#dialling = conn;
    try {
      await conn.open(
        this.#session,
        (welcome, sent, received) => this.#install(conn, welcome, sent, received),
        (frame, received) => handle(this.core, conn, frame, received),
      );
      return conn === this.conn ? { conn } : { error: await conn.gone };
    } catch (error) {
      conn.kill(error);
      return conn === this.conn ? { conn } : { error };
    } finally {
      this.#dialling = undefined;
    }
  }

  /**
   * Goes on over a new connection: everything under way is asked again.
   * @param {Connection} conn
   * @param {any} welcome
   * @param {number} sent
   * @param {number} received
   */
  #install(conn, welcome, sent, received) {
    const { core } = this;
    conn.resumed = welcome.resumed;
    this.#session = welcome.session;
    this.#restUntil = 0;
    core.clock = new ServiceClock();
    core.clock.learn(Date.parse(welcome.time), sent, received);
    core.cause = undefined;
    this.conn = conn;
    core.log.debug('connected to the lock service', { host: conn.url.host, node: welcome.node, resumed: conn.resumed });
    for (const call of core.calls.underWay) this.#resend(conn, call);
    // Where the session is another, nobody tells of what became of the locks: a renewal does.
    if (!conn.resumed) for (const holding of [...core.held.values()]) this.probe(holding);
    for (const subscriber of this.subscribers) subscriber.subscribe();
  }

  /** @param {Connection} conn @param {Call} call */
  #resend(conn, call) {
    const { calls } = this.core;
    if (call.kind === 'subscribe' || call.kind === 'unsubscribe') return calls.forget(call); // they were the old one's
    if (call.holding && call.holding.state !== 'held') return calls.forget(call); // nothing is renewed after its end
    if (call.kind === 'acquire' && call.first > 0) {
      // Under a new id: the service may hold the old one still. The same requestId keeps the place.
      calls.forgetIds(call);
      calls.rename(call);
    }
    if (!conn.put(call)) return calls.settle(call, { error: tooLarge(call.name) });
    if (call.kind === 'acquire' && call.unattended) calls.takeBack(call);
  }

  /**
   * Asks whether a lock is still held, with a renewal that nobody waits for.
   * @param {import('./holding').Holding} holding
   */
  probe(holding) {
    const { name, renewalToken: secret } = holding;
    if (holding.state === 'held' && !this.core.over) {
      this.core.calls.submit(new Call('renew', { name, secret, holding, unattended: true }));
    }
  }

  /**
   * Notes the end of a connection. Whether it was one to be expected, after which the next need not wait.
   * @param {Connection} conn
   * @param {unknown} end
   */
  #ended(conn, end) {
    const { core } = this;
    if (this.conn === conn) this.conn = undefined;
    if (core.over) return false;
    core.cause = end;
    const code = end instanceof ConnectionEnd ? end.closeCode : 0;
    if (code === 1000) this.#session = ''; // it went on elsewhere: two would take it from each other for ever
    if (code === 1009 || code === 4400) this.#endSent(why(end)); // sent again, they would end the next connection too
    this.#nextEndpoint();
    core.log.warn('connection to the lock service ended', { host: conn.url.host, why: why(end) });
    return now() - conn.opened > SETTLED_MS || conn.draining || code === 1001;
  }

  #nextEndpoint() {
    this.#endpoint = (this.#endpoint + 1) % this.core.settings.endpoints.length;
  }

  /** @param {string} detail */
  #endSent(detail) {
    const problem = { code: 'invalid_argument', status: 400, title: 'The service refused a frame', detail };
    for (const call of this.core.calls.underWay) {
      if (call.first > 0) this.core.calls.settle(call, { error: fromProblem(problem, { lockName: call.name }) });
    }
  }

  /**
   * Notes that there was no connection. Whether to stop trying.
   * @param {unknown} error
   * @param {number} refusals how many endpoints in a row speak no WebSocket
   */
  #refused(error, refusals) {
    const { core } = this;
    const { endpoints } = core.settings;
    if (core.over) return false;
    core.cause = error;
    core.log.warn('no connection to the lock service', { host: endpoints[this.#endpoint].host, why: why(error) });
    this.#nextEndpoint();
    // A refusal is of the token, or of the clientId: it will be the same next time.
    const fatal = isRefusal(error);
    if (!fatal && refusals < endpoints.length) return false;
    this.#linking = false;
    if (!fatal) this.#restUntil = now() + REST_MS;
    this.#endAll(fatal ? { error } : { rest: true });
    return true;
  }

  /**
   * Answers every call. What nobody waits for is given back over REST.
   * @param {import('./call').Answer} answer
   */
  #endAll(answer) {
    const { core } = this;
    for (const call of core.calls.underWay) {
      if (answer.rest && call.unattended) giveBackOverRest(core, call);
      core.calls.settle(call, { ...answer });
    }
    const { error = new NoWebSocket('no WebSocket can be had') } = answer;
    for (const subscriber of this.subscribers) subscriber.end(error);
  }

  /**
   * When something is to be done about a call that has no answer.
   * @param {Call} call
   * @param {number} until
   * @param {number} patienceMs
   */
  nextLook(call, until, patienceMs) {
    // A wait is asked for only as there is a connection.
    const unsent = call.kind === 'acquire' && call.sent === 0;
    const patience = unsent ? Math.min(patienceMs, this.core.longestAskMs / 2) : patienceMs;
    return Math.min(now() + patience, call.refreshAt, until);
  }

  /**
   * Asks again for a wait that is about to end, and gives up a connection that does not answer.
   * @param {Call} call
   * @param {number} patienceMs
   */
  look(call, patienceMs) {
    const { conn } = this;
    const at = now();
    const silent = conn && !call.queued && call.sent > 0 && conn.quietMs >= patienceMs && at - call.sent >= patienceMs;
    if (at >= call.refreshAt) this.core.calls.refresh(call);
    if (!conn) this.start();
    if (silent) conn.kill(new ConnectionEnd('the node says nothing any more'));
  }

  async close() {
    this.#dialling?.kill(new ConnectionEnd('the client is closed'));
    await this.conn?.bye();
    await this.#running;
    this.conn = undefined;
  }
}

/**
 * Goes on over REST with what nobody waits for.
 * @param {import('./core').Core} core
 * @param {Call} call
 */
function giveBackOverRest(core, call) {
  if (call.kind === 'release') releaseOverRest(core, call.name, call.secret);
  if (call.kind === 'acquire' && call.request) new Poller(core, call.request).takeBack();
}

module.exports = { Link };

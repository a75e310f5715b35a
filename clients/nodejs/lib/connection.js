'use strict';

const { dial } = require('./dial');
const { closed, fromProblem, why } = require('./errors');
const { after, now } = require('./timing');

// The service takes frames of so many bytes.
const LONGEST_FRAME = 64 << 10;
// How long the service may take to answer the hello, for which it asks Redis.
const HELLO_MS = 6000;
// While something is under way, a connection that has said nothing for PING_MS is asked for a sign of life, and is given
// up when it has said nothing for SILENCE_MS.
const PING_MS = 4000;
const SILENCE_MS = 8000;
const BYE_MS = 100;

/** Why a connection ended. */
class ConnectionEnd extends Error {
  /** @param {string} message @param {number} [closeCode] */
  constructor(message, closeCode = 0) {
    super(message);
    this.closeCode = closeCode;
  }
}

/**
 * One WebSocket connection, from the dialling to its end. It ends once: by kill, by the other side, or by silence.
 */
class Connection {
  /** @type {import('ws') | undefined} */
  #ws;
  /** @type {import('node:net').Socket | undefined} */
  #socket;
  /** @type {(why: unknown) => void} */
  #tellGone = () => {};
  /** @type {(frame: string, received: number) => void} */
  #listen = () => {};
  #corked = false;
  #pinging = false;
  /** @type {NodeJS.Timeout | undefined} */
  #ticks;

  /** @param {import('./core').Core} core @param {URL} url */
  constructor(core, url) {
    this.core = core;
    this.url = url;
    this.dead = false;
    this.draining = false;
    this.resumed = false;
    this.heartbeatMs = Infinity;
    this.opened = now();
    this.heard = this.opened;
    /** The subscriptions, by the service's names. @type {Map<string, import('./subscriber').Subscriber>} */
    this.subscribers = new Map();
    /** Resolved with the reason when it has ended. @type {Promise<unknown>} */
    this.gone = new Promise((resolve) => (this.#tellGone = resolve));
  }

  /**
   * Dials, says hello, and hands all that is heard after the welcome to listen.
   * @param {string} session to come back to, or ''
   * @param {(welcome: any, sent: number, received: number) => void} welcomed is called before anything else is heard
   * @param {(frame: string, received: number) => void} listen
   */
  async open(session, welcomed, listen) {
    const { ws, socket } = await dial(this.core, this.url, (stop) => void this.gone.then(stop));
    this.#ws = ws;
    this.#socket = socket;
    if (this.dead) return ws.terminate();
    ws.on('message', (data) => this.#hear(data.toString()));
    ws.on('ping', () => (this.heard = now()));
    ws.on('error', (error) => this.kill(error));
    ws.on('close', (code, reason) => {
      this.kill(new ConnectionEnd(`the connection was closed: ${code} ${reason}`.trim(), code));
    });
    if (ws.readyState !== ws.OPEN) return this.kill(new ConnectionEnd('the connection ended at once'));
    await this.#hello(session, welcomed, listen);
    this.#ticks = setInterval(() => this.#tick(), PING_MS / 2).unref();
  }

  /**
   * @param {string} session
   * @param {(welcome: any, sent: number, received: number) => void} welcomed
   * @param {(frame: string, received: number) => void} listen
   * @returns {Promise<void>}
   */
  #hello(session, welcomed, listen) {
    return new Promise((resolve, reject) => {
      const sent = now();
      const timer = after(HELLO_MS, () => reject(new Error(`${this.url.host} does not answer the hello`)));
      void this.gone.then((cause) => {
        clearTimeout(timer);
        reject(cause);
      });
      this.#listen = (text, received) => {
        const frame = JSON.parse(text);
        if (frame.type === 'welcome') {
          clearTimeout(timer);
          this.#listen = listen;
          this.heartbeatMs = frame.heartbeat * 1000 || Infinity;
          welcomed(frame, sent, received);
          resolve();
        } else if (frame.type === 'error') reject(fromProblem(frame));
        else if (frame.type === 'draining') reject(new ConnectionEnd('the node shuts down'));
      };
      const { clientId } = this.core.settings;
      this.send(JSON.stringify({ type: 'hello', id: '0', clientId, session: session || undefined }));
    });
  }

  /** @param {string} text */
  #hear(text) {
    if (this.dead) return;
    this.heard = now();
    try {
      this.#listen(text, this.heard);
    } catch (error) {
      this.kill(new ConnectionEnd(`a frame that cannot be read: ${why(error)}`));
    }
  }

  /** For how long nothing has been heard. */
  get quietMs() {
    return now() - this.heard;
  }

  /**
   * Sends a call. False for one that is too large.
   * @param {import('./call').Call} call
   */
  put(call) {
    const at = now();
    const text = JSON.stringify(call.frame(at, this.core.longestAskMs));
    if (text.length * 3 > LONGEST_FRAME && Buffer.byteLength(text) > LONGEST_FRAME) return false;
    call.first ||= at;
    call.sent = at;
    this.send(text);
    return true;
  }

  /** @param {string} text */
  send(text) {
    if (this.dead || !this.#ws || !this.#socket) return;
    if (!this.#corked) {
      // Whoever is about to say something more says it first: one write for all.
      this.#corked = true;
      this.#socket.cork();
      process.nextTick(() => {
        this.#corked = false;
        this.#socket?.uncork();
      });
    }
    this.#ws.send(text, noted);
  }

  /** Ends the connection at once. @param {unknown} cause */
  kill(cause) {
    if (this.dead) return;
    this.dead = true;
    clearInterval(this.#ticks);
    this.#tellGone(cause);
    this.#ws?.terminate();
  }

  /** Ends it with a close frame, and waits until it is closed, a little. */
  async bye() {
    const ws = this.#ws;
    if (this.dead || !ws) return this.kill(closed());
    await /** @type {Promise<void>} */ (
      new Promise((resolve) => {
        const timer = after(BYE_MS, resolve);
        ws.once('close', () => {
          clearTimeout(timer);
          resolve();
        });
        ws.close(1000);
      })
    );
    this.kill(closed());
  }

  #tick() {
    this.core.sweep();
    setImmediate(() => this.#watch()); // what came while this process was busy is read before
  }

  /** Asks a node that says nothing for a sign of life while something depends on it, and gives up a silent one. */
  #watch() {
    if (this.dead) return;
    const quiet = this.quietMs;
    if (quiet > 2.25 * this.heartbeatMs) return this.kill(new ConnectionEnd('the node sends no pings any more'));
    const busy = this.core.calls.pending.size > 0 || this.core.held.size > 0;
    if (!busy || quiet < PING_MS) {
      this.#pinging = false;
    } else if (!this.#pinging) {
      this.#pinging = true;
      this.send('{"type":"ping"}');
    } else if (quiet > SILENCE_MS) {
      this.kill(new ConnectionEnd('the node says nothing any more'));
    }
  }
}

// A write that fails ends the connection, which is told by its events.
const noted = () => {};

module.exports = { Connection, ConnectionEnd };

'use strict';

const http = require('node:http');
const https = require('node:https');
const { closed, fromProblem, LockError, retryAfterMs, serviceCodeOf, unavailable } = require('./errors');
const { lockPath } = require('./names');
const { after, backoff, now } = require('./timing');

// What is read of an answer at most: a page of a listing is the largest.
const LONGEST_ANSWER = 64 << 20;
const CONNECT_MS = 3000;

/**
 * @typedef {object} RestCall
 * @property {string} method
 * @property {string} path escaped, without what the endpoint's own path is
 * @property {Record<string, string>} [query]
 * @property {object} [body]
 * @property {string} [lockName] for errors
 * @property {number} [waitMs] how long the service may take beside the usual
 * @property {AbortSignal} [signal]
 * @property {number} [until] when to give up, by the local clock
 * @property {boolean} [again] set by the call: an earlier try may have done it
 */

/** Makes REST calls, to one endpoint after another where one fails. */
class Rest {
  #endpoint = 0;
  /** @type {Set<() => void>} */
  #flying = new Set();

  /** @param {import('./core').Core} core */
  constructor(core) {
    this.core = core;
    const keep = { keepAlive: true, keepAliveMsecs: 15_000, maxFreeSockets: 64, timeout: 60_000 };
    this.plain = new http.Agent(keep);
    this.secure = new https.Agent({ ...core.settings.tls, ...keep });
  }

  close() {
    for (const stop of [...this.#flying]) stop();
    this.plain.destroy();
    this.secure.destroy();
  }

  /**
   * Makes a call: twice to each endpoint at most, the second time after a pause. Errors are the service's, or
   * LockServiceUnavailable with the last cause.
   * @param {RestCall} q
   * @returns {Promise<string>} the text of a 200
   */
  async call(q) {
    const { core } = this;
    const { endpoints } = core.settings;
    /** @type {unknown} */
    let last;
    for (let tries = 0; tries < 2 * endpoints.length; tries++) {
      const round = tries > 0 && tries % endpoints.length === 0;
      if (round && !(await core.pause(backoff(1, Math.min(retryAfterMs(last), 1000)), q.signal))) break;
      if (tries > 0 && now() >= (q.until ?? Infinity)) break;
      if (q.signal?.aborted) throw q.signal.reason;
      const at = this.#endpoint;
      q.again = tries > 0;
      try {
        return await this.once(endpoints[at], q);
      } catch (error) {
        if (q.signal?.aborted) throw q.signal.reason;
        if (!elsewhere(error)) throw error;
        last = core.cause = error;
      }
      if (this.#endpoint === at) this.#endpoint = (at + 1) % endpoints.length;
    }
    if (core.over) throw closed();
    if (q.signal?.aborted) throw q.signal.reason;
    throw last instanceof LockError ? last : unavailable(last, q.lockName);
  }

  /**
   * call, of JSON.
   * @param {RestCall} q
   * @returns {Promise<any>}
   */
  async json(q) {
    return parse(await this.call(q));
  }

  /**
   * A call about a lock, for this client.
   * @param {string} lockName
   * @param {string} verb
   * @param {object} body
   * @param {Partial<RestCall>} [how]
   * @returns {RestCall}
   */
  about(lockName, verb, body, how) {
    const { clientId } = this.core.settings;
    return { method: 'POST', path: lockPath(lockName, verb), lockName, body: { clientId, ...body }, ...how };
  }

  /**
   * Whether a node gives a sign of life.
   * @param {URL} url
   */
  async lives(url) {
    const q = { method: 'GET', path: '/livez', until: now() + CONNECT_MS };
    return this.once(url, q).then(
      () => true,
      () => false,
    );
  }

  /**
   * Makes a call to one endpoint.
   * @param {URL} url
   * @param {RestCall} q
   * @returns {Promise<string>} the text of a 200
   */
  once(url, q) {
    if (this.core.over) return Promise.reject(closed());
    return new Promise((resolve, reject) => {
      const body = q.body && JSON.stringify(q.body);
      const request = this.#request(url, q, body);
      const limit = this.core.settings.httpTimeoutMs + (q.waitMs ?? 0);
      const timer = after(Math.min(limit, (q.until ?? Infinity) - now()), () => fail(new Error('no answer in time')));
      /** @type {NodeJS.Timeout | undefined} */
      let connecting;
      request.on('socket', (socket) => {
        if (!socket.connecting) return;
        connecting = after(CONNECT_MS, () => fail(new Error(`no connection to ${url.host} in time`)));
        socket.once('connect', () => clearTimeout(connecting));
      });
      const done = () => {
        clearTimeout(timer);
        clearTimeout(connecting);
        this.#flying.delete(stop);
        q.signal?.removeEventListener('abort', abort);
      };
      const fail = (/** @type {unknown} */ error) => {
        done();
        request.destroy();
        reject(error);
      };
      const stop = () => fail(closed());
      const abort = () => fail(q.signal?.reason);
      this.#flying.add(stop);
      q.signal?.addEventListener('abort', abort);
      request.on('error', fail);
      request.on('response', (response) => {
        read(response, LONGEST_ANSWER).then((text) => {
          done();
          if (response.statusCode === 200) resolve(text);
          else reject(errorOf(response, text, q.lockName));
        }, fail);
      });
      request.end(body);
    });
  }

  /** @param {URL} url @param {RestCall} q @param {string} [body] */
  #request(url, q, body) {
    const secure = url.protocol === 'https:';
    const query = new URLSearchParams(q.query).toString();
    const length =
      body === undefined ? {} : { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) };
    return (secure ? https : http).request({
      agent: secure ? this.secure : this.plain,
      hostname: url.hostname.replace(/^\[|\]$/g, ''),
      port: url.port,
      method: q.method,
      path: url.pathname.replace(/\/$/, '') + q.path + (query && `?${query}`),
      headers: { ...this.core.link.headers(), ...length },
    });
  }
}

/**
 * Reads an answer to its end.
 * @param {http.IncomingMessage} response
 * @param {number} most bytes
 * @returns {Promise<string>}
 */
function read(response, most) {
  return new Promise((resolve, reject) => {
    /** @type {Buffer[]} */
    const parts = [];
    let length = 0;
    response.on('data', (/** @type {Buffer} */ part) => {
      parts.push(part);
      if ((length += part.length) > most) response.destroy(new Error(`an answer of more than ${most} bytes`));
    });
    response.on('end', () => resolve(Buffer.concat(parts).toString()));
    response.on('error', reject); // told of connections that break too
  });
}

/** @param {string} text @returns {any} */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw unavailable(new Error('an answer that is not the service’s', { cause: error }));
  }
}

/**
 * @param {http.IncomingMessage} response
 * @param {string} text
 * @param {string} [lockName]
 */
function errorOf(response, text, lockName) {
  let problem;
  try {
    problem = JSON.parse(text);
  } catch {
    // what is between us and the service speaks otherwise
  }
  const asked = Number(response.headers['retry-after'] ?? 0);
  const wait = asked > 0 && asked <= 60 ? asked * 1000 : 0;
  return fromProblem(problem, { status: response.statusCode, lockName, retryAfterMs: wait, text });
}

// Whether another endpoint may do better.
const ELSEWHERE = new Set(['', 'unavailable', 'draining', 'outcome_unknown', 'internal']);
const elsewhere = (/** @type {unknown} */ error) => ELSEWHERE.has(serviceCodeOf(error));

module.exports = { Rest, read, errorOf };

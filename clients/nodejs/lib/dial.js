'use strict';

const net = require('node:net');
const tls = require('node:tls');
const WebSocket = require('ws');
const { NoWebSocket, serviceCodeOf, why } = require('./errors');
const { errorOf, read } = require('./rest');
const { after } = require('./timing');

const SUBPROTOCOL = 'distributed-lock.v1';
// How long a node may take to accept a connection, and then to shake hands.
const CONNECT_MS = 3000;
const HANDSHAKE_MS = 6000;
const LONGEST_FRAME = 16 << 20;
const LONGEST_PROBLEM = 64 << 10;

/**
 * @typedef {object} Dialled
 * @property {WebSocket} ws
 * @property {net.Socket} socket
 */

/**
 * Opens a WebSocket. Errors: NoWebSocket where none can be had there, the service's refusal, or what broke.
 * @param {import('./core').Core} core
 * @param {URL} url
 * @param {(stop: (why: unknown) => void) => void} started is told how to stop it
 * @returns {Promise<Dialled>}
 */
function dial(core, url, started) {
  return new Promise((resolve, reject) => {
    /** @type {net.Socket} */
    let socket;
    let answered = false;
    let timer = after(CONNECT_MS, () => fail(new Error(`no connection to ${url.host} in time`)));
    const ws = new WebSocket(socketUrl(url), [SUBPROTOCOL], {
      headers: core.link.headers(),
      perMessageDeflate: false,
      maxPayload: LONGEST_FRAME,
      createConnection: () => {
        socket = open(url, core.settings.tls);
        socket.once('connect', () => {
          socket.unref(); // of several addresses, the one that answered has a handle of its own
          clearTimeout(timer);
          timer = after(Math.min(core.settings.httpTimeoutMs, HANDSHAKE_MS), silent);
        });
        return socket;
      },
    });
    const fail = (/** @type {unknown} */ error) => {
      clearTimeout(timer);
      reject(error);
      ws.terminate();
    };
    const silent = () => void swallowed(core, url).then(fail);
    ws.on('error', (error) => {
      // What answers like a server but not as the protocol wants speaks no WebSocket.
      fail(answered ? new NoWebSocket(`the handshake with ${url.host} failed: ${why(error)}`) : error);
    });
    ws.on('upgrade', () => (answered = true));
    ws.on('unexpected-response', (request, response) => {
      refusal(response).then(fail, fail);
    });
    ws.on('open', () => {
      clearTimeout(timer);
      resolve({ ws, socket });
    });
    started(fail);
  });
}

/** @param {URL} url */
function socketUrl(url) {
  const ws = new URL(url);
  ws.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  ws.pathname = `${url.pathname.replace(/\/$/, '')}/ws`;
  return ws;
}

/**
 * A socket that keeps no process alive.
 * @param {URL} url
 * @param {tls.ConnectionOptions} options
 */
function open(url, options) {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const secure = url.protocol === 'https:';
  const port = Number(url.port) || (secure ? 443 : 80);
  const socket = secure
    ? tls.connect({ servername: net.isIP(host) ? '' : host, ALPNProtocols: ['http/1.1'], ...options, host, port })
    : net.connect({ host, port });
  socket.setKeepAlive(true, 15_000);
  socket.unref();
  return socket;
}

/**
 * What a handshake means that was answered otherwise.
 * @param {import('node:http').IncomingMessage} response
 */
async function refusal(response) {
  const text = await read(response, LONGEST_PROBLEM).catch(() => '');
  const status = response.statusCode ?? 0;
  const error = errorOf(response, text);
  if (status === 401 || status === 403 || status === 429 || (status >= 500 && status !== 501)) return error;
  return new NoWebSocket(`the handshake was answered ${status} ${serviceCodeOf(error)}`);
}

/**
 * A node that takes the connection and lets the handshake go unanswered: where it answers over REST, something before it
 * swallows the upgrade.
 * @param {import('./core').Core} core
 * @param {URL} url
 */
async function swallowed(core, url) {
  const lives = await core.rest.lives(url);
  return lives
    ? new NoWebSocket(`${url.host} answers over REST and swallows the upgrade`)
    : new Error('no handshake in time');
}

module.exports = { dial };

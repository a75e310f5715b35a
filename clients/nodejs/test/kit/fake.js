'use strict';

const { once } = require('node:events');
const http = require('node:http');
const { WebSocketServer } = require('ws');
const { DistributedLockClient } = require('../../client');
const { cleanUp } = require('./cleanup');

/** @typedef {{type: string, id: string, [key: string]: any}} Frame */
/** @typedef {(frame: Frame, send: (answer: object | string) => void, ws: import('ws').WebSocket) => void} Answer */

const LOCK_ID = 'kR3vT9qLkR3vT9qLkR3vT9qL';

/** @param {Frame} frame @param {object} [more] */
const grant = (frame, more) => ({
  ...{ type: 'granted', id: frame.id, acquired: true, lockId: LOCK_ID, lockName: frame.lockName, clientId: 'c-1' },
  ...{ ownerId: frame.ownerId, requestId: frame.requestId, expiresAt: new Date(Date.now() + 30_000).toISOString() },
  ...{ ttlMs: 30_000, fencingToken: 5, renewalToken: 't', waitTime: 0, autoRenew: false, metadata: null, ...more },
});

/** @param {Frame} frame @param {object} [more] */
const welcome = (frame, more) => ({
  ...{ type: 'welcome', id: frame.id, session: 's', heartbeat: 15, node: 'n', resumed: false },
  ...{ time: new Date().toISOString(), ...more },
});

/**
 * A node that answers as a test wants.
 * @param {import('node:test').TestContext} t
 */
async function startFake(t) {
  /** @type {Frame[]} */
  const heard = [];
  /** What is answered to frames, by their types. @type {Record<string, Answer>} */
  const answers = {
    hello: (frame, send) => send(welcome(frame)),
    acquire: (frame, send) => send(grant(frame)),
    release: (frame, send) => send({ type: 'released', id: frame.id, released: true, heldFor: 1 }),
    cancel: ({ id, target }, send) => {
      send({ type: 'error', id: target, code: 'cancelled', title: 'cancelled', status: 499 });
      send({ type: 'cancelled', id });
    },
    renew: (frame, send) => {
      const expiresAt = new Date(Date.now() + 30_000).toISOString();
      send({ type: 'renewed', id: frame.id, expiresAt, ttlMs: 30_000, fencingToken: 5 });
    },
  };
  /** What is answered over REST. @type {http.RequestListener} */
  const rest = (request, response) => void response.writeHead(404).end();
  const fake = {
    url: '',
    heard,
    answers,
    rest,
    refuse: '',
    paths: /** @type {string[]} */ ([]),
    client: connect,
    frames,
  };
  const server = http.createServer((request, response) => fake.rest(request, response));
  const sockets = new WebSocketServer({ noServer: true });
  server.on('upgrade', (request, socket, head) => {
    fake.paths.push(String(request.url));
    if (fake.refuse === 'swallow') return;
    if (fake.refuse) return void socket.end(`HTTP/1.1 ${fake.refuse}\r\nConnection: close\r\n\r\n`);
    sockets.handleUpgrade(request, socket, head, (ws) => sockets.emit('connection', ws));
  });
  sockets.on('connection', (ws) => {
    const send = (/** @type {object | string} */ answer) =>
      ws.send(typeof answer === 'string' ? answer : JSON.stringify(answer));
    ws.on('message', (data) => {
      const frame = JSON.parse(data.toString());
      heard.push(frame);
      fake.answers[frame.type]?.(frame, send, ws);
    });
  });

  /** @param {import('../../client').ClientOptions} [options] @param {string} [at] */
  function connect(options, at = fake.url) {
    const client = new DistributedLockClient(at, { clientId: 'c-1', ...options });
    cleanUp(t, () => client.close());
    return client;
  }

  /** The frames of a type that came so far. @param {string} type */
  function frames(type) {
    return heard.filter((frame) => frame.type === type);
  }

  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  fake.url = `http://127.0.0.1:${/** @type {import('node:net').AddressInfo} */ (server.address()).port}`;
  cleanUp(t, () => {
    for (const ws of sockets.clients) ws.terminate();
    server.closeAllConnections();
    server.close();
  });
  return fake;
}

module.exports = { startFake, grant, welcome, LOCK_ID };

'use strict';

const { once } = require('node:events');
const net = require('node:net');
const tls = require('node:tls');
const { cleanUp } = require('./cleanup');

/**
 * A line to a service that a test can cut, mute and close to newcomers.
 * @param {import('node:test').TestContext} t
 * @param {string} target its URL
 * @param {tls.TlsOptions} [secure] what the line is TLS with, on its client's side
 */
async function startProxy(t, target, secure) {
  const { hostname, port } = new URL(target);
  /** @type {Set<net.Socket>} */
  const sockets = new Set();
  const proxy = { url: '', opened: 0, live: 0, muted: false, refusing: false, cut };
  const server = secure ? tls.createServer(secure, join) : net.createServer(join);
  server.on('tlsClientError', () => {}); // one who does not trust the certificate

  /** @param {net.Socket} near */
  function join(near) {
    if (proxy.refusing) return near.destroy();
    proxy.opened++;
    proxy.live++;
    const far = net.connect(Number(port), hostname);
    relay(near, far);
    relay(far, near);
    near.on('close', () => proxy.live--);
  }

  /** @param {net.Socket} from @param {net.Socket} to */
  function relay(from, to) {
    sockets.add(from);
    from.on('data', (data) => proxy.muted || to.write(data));
    from.on('error', () => {}); // told by close
    from.on('close', () => {
      sockets.delete(from);
      to.destroy();
    });
  }

  function cut() {
    for (const socket of [...sockets]) socket.destroy();
  }

  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port: own } = /** @type {net.AddressInfo} */ (server.address());
  proxy.url = `${secure ? 'https' : 'http'}://127.0.0.1:${own}`;
  cleanUp(t, () => {
    cut();
    server.close();
  });
  return proxy;
}

module.exports = { startProxy };

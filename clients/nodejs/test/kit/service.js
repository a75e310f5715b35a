'use strict';

const { randomUUID } = require('node:crypto');
const { setTimeout: sleep } = require('node:timers/promises');
const { DistributedLockClient } = require('../../client');
const { cleanUp } = require('./cleanup');

// No promise of the client's may be rejected without anybody to hear of it, whatever is cancelled or closed when.
process.on('unhandledRejection', (error) => {
  console.error('unhandled rejection:', error);
  process.exitCode = 1;
  throw error;
});

const url = process.env.LOCKD_URL ?? '';
const adminToken = process.env.LOCKD_ADMIN_TOKEN ?? '';

if (!url && process.env.CI === 'true') throw new Error('LOCKD_URL is unset: there is no service to test against');
if (!url) console.error('LOCKD_URL is unset: tests against a real service are SKIPPED');

/** What a test against a real service is declared with. */
const real = { skip: url ? false : 'LOCKD_URL is unset' };

/** A name that no other test or run uses. @param {string} [what] */
const unique = (what = 'x') => `nodejs-test/${what}/${randomUUID().slice(0, 8)}`;

/**
 * A client of the real service, closed after the test.
 * @param {import('node:test').TestContext} t
 * @param {import('../../client').ClientOptions} [options]
 * @param {string} [at]
 */
function client(t, options, at = url) {
  const made = new DistributedLockClient(at, { token: adminToken || undefined, ...options });
  cleanUp(t, () => made.close());
  return made;
}

/**
 * Waits until something is so.
 * @param {string} what
 * @param {() => unknown} is
 * @param {number} [withinMs]
 */
async function eventually(what, is, withinMs = 10_000) {
  for (const end = Date.now() + withinMs; ;) {
    if (await is()) return;
    if (Date.now() > end) throw new Error(`not so after ${withinMs} ms: ${what}`);
    await sleep(5);
  }
}

/**
 * Waits until so many wait for a lock.
 * @param {DistributedLockClient} watcher
 * @param {string} name
 * @param {number} n
 */
const queue = (watcher, name, n) =>
  eventually(`${n} wait for ${name}`, async () => (await watcher.status(name)).queueLength === n);

/**
 * Waits until nobody holds a lock or waits for it.
 * @param {DistributedLockClient} watcher
 * @param {string} name
 */
const free = (watcher, name) =>
  eventually(`${name} is free`, async () => {
    const { locked, queueLength } = await watcher.status(name);
    return !locked && queueLength === 0;
  });

/** A signal's abort. @param {AbortSignal} signal @returns {Promise<any>} its reason */
async function aborted(signal) {
  const alive = setInterval(() => {}, 1000); // a lock that is held keeps no process alive
  if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve));
  clearInterval(alive);
  return signal.reason;
}

/** Both ways to the service. @type {{over: string, options: import('../../client').ClientOptions}[]} */
const ways = [
  { over: 'WebSocket', options: {} },
  { over: 'REST', options: { webSocket: false } },
];

module.exports = { url, adminToken, real, unique, client, eventually, queue, free, aborted, ways };

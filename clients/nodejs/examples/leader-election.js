'use strict';

// Leader election: one instance leads for as long as it lives and can be heard; the others follow, and one of them takes
// over when it goes. Nobody polls.

const { DistributedLockClient } = require('distributed-lock-client');

const url = process.env.LOCKD_URL ?? 'http://localhost:5000';

/**
 * @param {string} clientId
 * @param {(signal: AbortSignal) => Promise<void>} lead
 * @param {(place: import('distributed-lock-client').Place) => void} [onQueued]
 */
async function instance(clientId, lead, onQueued) {
  const client = new DistributedLockClient(url, { clientId });
  // waitMs: until it is our turn
  await client.using('leader', { ttlMs: 10_000, waitMs: Infinity, onQueued }, async (signal) => {
    console.log(`${clientId} leads`);
    await lead(signal); // the signal is aborted when the leadership is lost
  });
  await client.close();
}

async function main() {
  /** @type {Promise<void>} */
  let follower = Promise.resolve();
  await instance('node-1', async () => {
    await new Promise((resolve) => {
      follower = instance(
        'node-2',
        async () => {},
        ({ holders }) => {
          console.log(`node-2 follows ${holders[0].clientId}`);
          resolve(undefined);
        },
      );
    });
  });
  await follower;
}

main();

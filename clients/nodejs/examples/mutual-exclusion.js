'use strict';

// Mutual exclusion: however many ask, one at a time works on a user.

const { DistributedLockClient } = require('distributed-lock-client');

async function main() {
  const client = new DistributedLockClient(process.env.LOCKD_URL ?? 'http://localhost:5000');
  let inside = 0;
  let most = 0;

  async function processUser() {
    most = Math.max(most, ++inside);
    await new Promise(setImmediate); // the work
    inside--;
  }

  await Promise.all(Array.from({ length: 20 }, () => client.using('user:42', processUser)));
  console.log(`at most ${most} at once`);
  await client.close();
}

main();

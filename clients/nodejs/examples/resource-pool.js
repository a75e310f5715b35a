'use strict';

// Resource pooling: at most five use the database at once; who gets no connection within 5 s is told so.

const { DistributedLockClient, LockTimeoutError } = require('distributed-lock-client');

async function main() {
  const client = new DistributedLockClient(process.env.LOCKD_URL ?? 'http://localhost:5000');
  let connections = 0;
  let most = 0;

  async function query() {
    most = Math.max(most, ++connections);
    await new Promise(setImmediate);
    connections--;
  }

  async function job() {
    try {
      await client.using('db-pool', { limit: 5, waitMs: 5000 }, query);
    } catch (error) {
      if (!(error instanceof LockTimeoutError)) throw error;
      console.log('the pool is exhausted');
    }
  }

  await Promise.all(Array.from({ length: 20 }, job));
  console.log(`at most five at once: ${most <= 5}`);
  await client.close();
}

main();

'use strict';

// Work that stops on loss: the signal is aborted before the lease ends, and goes to whatever takes one.

const { setTimeout: sleep } = require('node:timers/promises');
const { DistributedLockClient, LockLostError } = require('distributed-lock-client');

async function main() {
  const client = new DistributedLockClient(process.env.LOCKD_URL ?? 'http://localhost:5000');
  let steps = 0;
  try {
    // Without renewal, so that it is lost here. An admin's forced release would do the same.
    await client.using('batch', { ttlMs: 500, autoRenew: false }, async (signal) => {
      for (;;) {
        signal.throwIfAborted(); // between two steps
        await sleep(50, undefined, { signal }).catch(() => {}); // one step of the work, which stops too
        steps++;
      }
    });
  } catch (error) {
    if (!(error instanceof LockLostError)) throw error;
    console.log(`stopped after ${steps > 5 && steps < 11 ? 'some' : steps} steps: ${error.code}`);
  }
  await client.close();
}

main();

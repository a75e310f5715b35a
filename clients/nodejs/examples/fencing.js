'use strict';

// A fencing token lets what is protected refuse a holder who is late: one who slept past the end of the lease.

const { once } = require('node:events');
const { DistributedLockClient } = require('distributed-lock-client');

async function main() {
  const client = new DistributedLockClient(process.env.LOCKD_URL ?? 'http://localhost:5000');
  let highest = 0; // kept beside the data, compared in the same transaction

  /** @param {number} token @param {string} what */
  function write(token, what) {
    if (token < highest) return console.log(`refused: ${what}`);
    highest = token;
    console.log(`written: ${what}`);
  }

  const late = await client.acquire('file', 200);
  const pause = setTimeout(() => {}, 1000); // a lock that is only held keeps no process alive
  if (!late.signal.aborted) await once(late.signal, 'abort'); // its lease runs out while it does something else
  clearTimeout(pause);
  const next = await client.acquire('file', 30_000);
  write(next.fencingToken, 'by the next');
  write(late.fencingToken, 'by the late one');
  await next.release();
  await client.close();
}

main();

'use strict';

// Cold cycles, each task acquiring and releasing a lock of its own: npm run bench, with LOCKD_URL.

const { DistributedLockClient } = require('../client');

const LAST_MS = 4000;

/** @param {DistributedLockClient} client @param {number} tasks */
async function measure(client, tasks) {
  let cycles = 0;
  const begin = performance.now();
  const before = process.cpuUsage();
  const work = async (/** @type {unknown} */ _, /** @type {number} */ i) => {
    while (performance.now() < begin + LAST_MS) {
      const lock = await client.acquire(`bench/${i}`, 30_000);
      await lock.release();
      cycles++;
    }
  };
  await Promise.all(Array.from({ length: tasks }, work));
  const { user, system } = process.cpuUsage(before);
  const each = Math.round((user + system) / cycles);
  const rate = Math.round((1000 * cycles) / (performance.now() - begin));
  console.log(`${tasks} at once: ${rate} cycles a second, ${each} µs of CPU each`);
}

async function main() {
  const client = new DistributedLockClient(process.env.LOCKD_URL ?? 'http://localhost:5000');
  await measure(client, 1);
  await measure(client, 50);
  await client.close();
}

main();

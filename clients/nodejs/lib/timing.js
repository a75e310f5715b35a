'use strict';

const { performance } = require('node:perf_hooks');

// What setTimeout takes at most; more would fire at once.
const LONGEST_MS = 2 ** 31 - 1;

const BASE_MS = 50;
const MOST_MS = 5000;

/**
 * The local monotonic clock.
 * @returns {number} ms with fractions, from any zero
 */
const now = () => performance.now();

/**
 * A timer that keeps no process alive. It may fire late, and, where ms is more than 24 days, early: whoever sets one
 * looks at the clock when it fires.
 * @param {number} ms
 * @param {() => void} fn
 */
function after(ms, fn) {
  return setTimeout(fn, Math.min(Math.max(Math.ceil(ms), 0), LONGEST_MS)).unref();
}

/**
 * How long to wait before the next try: up to 50 ms, 100 ms, 200 ms… 5 s, all of it by chance, so that many clients do
 * not come back at once. See https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/.
 * @param {number} attempt from 0
 * @param {number} [atLeastMs] what the service asked for; the chance comes on top
 */
function backoff(attempt, atLeastMs = 0) {
  return atLeastMs + Math.random() * Math.min(BASE_MS * 2 ** attempt, MOST_MS);
}

module.exports = { now, after, backoff, LONGEST_MS };

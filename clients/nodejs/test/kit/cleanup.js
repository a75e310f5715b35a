'use strict';

/** @type {WeakMap<import('node:test').TestContext, (() => unknown)[]>} */
const stacks = new WeakMap();

/**
 * Does something after a test, the last first: clients are closed before what they talk to.
 * @param {import('node:test').TestContext} t
 * @param {() => unknown} fn
 */
function cleanUp(t, fn) {
  const stack = stacks.get(t);
  if (stack) return void stack.push(fn);
  const first = [fn];
  stacks.set(t, first);
  t.after(async () => {
    while (first.length > 0) await first.pop()?.();
  });
}

module.exports = { cleanUp };

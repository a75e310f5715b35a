'use strict';

const { AsyncLocalStorage } = require('node:async_hooks');

/**
 * The owner of what runs in an asynchronous context: `using` and `withOwner` set it.
 * @type {AsyncLocalStorage<string | undefined>}
 */
const owners = new AsyncLocalStorage();

/**
 * Runs the client's own work outside of any caller's context: a connection lives longer than the call that opened it, and
 * what its frames set off is not that caller's.
 * @template T
 * @param {() => T} fn
 */
const apart = (fn) => owners.run(undefined, fn);

module.exports = { owners, apart };

'use strict';

const { LockError } = require('./errors');

/**
 * Makes a call for somebody who waits for it: the process lives as long, and an error has its caller's stack, not that of
 * the connection that heard of it.
 * @template T
 * @param {import('./core').Core} core
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
async function told(core, work) {
  try {
    return await core.attend(work());
  } catch (error) {
    if (error instanceof LockError) Error.captureStackTrace(error);
    throw error;
  }
}

module.exports = { told };

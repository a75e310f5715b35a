'use strict';

const { invalid } = require('./errors');

const LONGEST_BYTES = 512;

/**
 * Refuses a lock's name that the service would refuse, or that no path can carry.
 * @param {unknown} name
 * @returns {string}
 */
function checkName(name) {
  if (typeof name !== 'string') throw invalid('lockName', 'must be a string');
  if (name === '') throw invalid('lockName', 'is required');
  if (name === '.' || name === '..') throw invalid('lockName', 'must not be . or .., which proxies rewrite');
  if (!isWellFormed(name)) throw invalid('lockName', 'must be well-formed Unicode, without lone surrogates');
  if (/\p{Cc}/u.test(name)) throw invalid('lockName', 'must not have control characters');
  if (name.length * 3 > LONGEST_BYTES && Buffer.byteLength(name) > LONGEST_BYTES) {
    throw invalid('lockName', `must not have more than ${LONGEST_BYTES} bytes of UTF-8`);
  }
  return name;
}

/** @param {string} text */
const isWellFormed = (text) => !/\p{Surrogate}/u.test(text);

/**
 * Where a lock stands in REST.
 * @param {string} name
 * @param {string} [verb]
 */
function lockPath(name, verb) {
  const path = `/locks/${encodeURIComponent(name)}`;
  return verb ? `${path}/${verb}` : path;
}

module.exports = { checkName, isWellFormed, lockPath };

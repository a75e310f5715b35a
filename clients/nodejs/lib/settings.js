'use strict';

const { randomUUID } = require('node:crypto');
const os = require('node:os');
const { invalid } = require('./errors');
const { isWellFormed } = require('./names');

/** @typedef {import('../client').ClientOptions} ClientOptions */
/** @typedef {{debug(message: string, fields?: object): void, warn(message: string, fields?: object): void}} Log */

const KNOWN = new Set(['endpoints', 'token', 'clientId', 'tls', 'webSocket', 'httpTimeoutMs', 'logger']);

/**
 * The choices of a client, checked.
 * @param {unknown} url
 * @param {ClientOptions} [options]
 */
function readSettings(url, options = {}) {
  checkKnown(options, KNOWN);
  const { endpoints = [], token, clientId = defaultClientId(), httpTimeoutMs = 10_000 } = options;
  if (!Array.isArray(endpoints)) throw invalid('endpoints', 'must be a list of URLs');
  if (token !== undefined && typeof token !== 'string') throw invalid('token', 'must be a string');
  checkText('clientId', clientId);
  if (Buffer.byteLength(clientId) > 256) throw invalid('clientId', 'must not have more than 256 bytes');
  if (!(httpTimeoutMs > 0)) throw invalid('httpTimeoutMs', 'must be a positive number of milliseconds');
  return {
    endpoints: [url, ...endpoints].map(readEndpoint),
    token: token ?? '',
    clientId,
    tls: options.tls ?? {},
    webSocket: options.webSocket ?? true,
    httpTimeoutMs,
    log: guarded(options.logger),
  };
}

/** @param {any} url @returns {URL} */
function readEndpoint(url) {
  let read;
  try {
    read = new URL(url);
  } catch {
    throw invalid('url', `must be http://host:port or https://host:port, not ${String(url)}`);
  }
  if (read.protocol !== 'http:' && read.protocol !== 'https:') {
    throw invalid('url', `must begin with http:// or https://, not ${read.protocol}`);
  }
  if (read.username || read.password) throw invalid('url', 'must not have a user or password: use the option token');
  read.pathname = read.pathname.replace(/\/+$/, '');
  read.search = '';
  read.hash = '';
  return read;
}

/**
 * Refuses options that nobody knows: most are misspelt, and would be ignored in silence.
 * @param {unknown} options
 * @param {Set<string>} known
 */
function checkKnown(options, known) {
  if (typeof options !== 'object' || options === null) throw invalid('options', 'must be an object');
  for (const key of Object.keys(options)) {
    if (!known.has(key)) throw invalid(key, `is no option; there are ${[...known].join(', ')}`);
  }
}

/** @param {string} field @param {unknown} text */
function checkText(field, text) {
  if (typeof text !== 'string' || text === '') throw invalid(field, 'must be a string that is not empty');
  if (!isWellFormed(text)) throw invalid(field, 'must be well-formed Unicode, without lone surrogates');
}

/** Tells people where the client runs. */
function defaultClientId() {
  const host = (os.hostname() || 'unknown').slice(0, 100);
  return `${host}-${process.pid}-${randomUUID().slice(0, 8)}`;
}

/**
 * The caller's logger, or silence. What a logger throws must not break a connection.
 * @param {import('../client').Logger | undefined} logger
 * @returns {Log}
 */
function guarded(logger) {
  const say =
    (/** @type {'debug' | 'warn'} */ level) => (/** @type {string} */ message, /** @type {object} */ fields) => {
      try {
        logger?.[level]?.(message, fields);
      } catch {
        // there is nobody to tell
      }
    };
  return { debug: say('debug'), warn: say('warn') };
}

module.exports = { readSettings, checkKnown, checkText };

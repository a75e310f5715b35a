'use strict';

const { readFileSync } = require('node:fs');
const path = require('node:path');

/**
 * The cases of a file that all SDKs share. They are beside this package in the repository, and not in the package.
 * @param {string} name
 * @returns {any[]}
 */
function vectors(name) {
  const file = path.join(__dirname, '../../../conformance/vectors', name);
  const { cases } = JSON.parse(readFileSync(file, 'utf8'));
  if (cases.length < 10) throw new Error(`${file} has ${cases.length} cases`);
  return cases;
}

module.exports = { vectors };

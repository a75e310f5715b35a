'use strict';

const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const { mkdtempSync, readFileSync, rmSync } = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { it } = require('node:test');
const { startProxy } = require('./kit/proxy');
const { cleanUp } = require('./kit/cleanup');
const { adminToken, client, real, unique, url, ways } = require('./kit/service');

/** A certificate of our own for 127.0.0.1. @param {import('node:test').TestContext} t */
function certificate(t) {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'lock-tls-'));
  cleanUp(t, () => rmSync(folder, { recursive: true }));
  const [key, cert] = ['key', 'cert'].map((name) => path.join(folder, name));
  const request = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '1'];
  const subject = ['-subj', '/CN=test', '-addext', 'subjectAltName=IP:127.0.0.1'];
  execFileSync('openssl', [...request, ...subject, '-keyout', key, '-out', cert], { stdio: 'pipe' });
  return { key: readFileSync(key), cert: readFileSync(cert) };
}

for (const { over, options } of ways) {
  it(`TLS with a certificate of one’s own, and the token behind it, over ${over}`, real, async (t) => {
    const own = certificate(t);
    const proxy = await startProxy(t, url, own);
    const [sdk, name] = [client(t, { ...options, tls: { ca: own.cert } }, proxy.url), unique('tls')];
    const lock = await sdk.acquire(name);
    assert.equal((await sdk.forceRelease(name, 'test')).length, 1); // which wants the token
    await assert.rejects(lock.release(), { code: 'LOCK_LOST' });
    const stranger = client(t, { ...options, token: adminToken }, proxy.url);
    const refused = stranger.acquire(name, 1000, { signal: AbortSignal.timeout(300) });
    await assert.rejects(refused, { name: 'TimeoutError' });
    await assert.rejects(stranger.status(name), { code: 'UNAVAILABLE', message: /self-signed certificate/ });
  });
}

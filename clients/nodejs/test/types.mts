// Held by tsc, not run: the types of the ES module.
import { DistributedLockClient, LockLostError, type Lock } from '../client.mjs';

const client = new DistributedLockClient(new URL('http://localhost'));
export const lock: Promise<Lock> = client.acquire('x', 30_000);
export const tells = (error: unknown) => error instanceof LockLostError && error.code;

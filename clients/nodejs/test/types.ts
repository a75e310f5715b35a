// Held by tsc, not run: that client.d.ts fits what there is, and lets users write what they should, and not what not.
import * as declared from '../client';
import * as implemented from '../lib/client';
import type { AcquireOptions, Lock, LockEvent, LockStatus } from '../client';

const Client: new (
  ...args: ConstructorParameters<typeof declared.DistributedLockClient>
) => Pick<
  declared.DistributedLockClient,
  Exclude<keyof declared.DistributedLockClient, 'acquire' | 'tryAcquire' | 'using' | 'subscribe'>
> = implemented.DistributedLockClient;
const lockShape: (lock: implemented.Lock) => Pick<declared.Lock, keyof declared.Lock> = (lock) => lock;
const client = new declared.DistributedLockClient('http://localhost:5000', {
  endpoints: ['http://localhost:5001', new URL('http://localhost:5002')],
  token: 't',
  clientId: 'c',
  tls: { ca: 'pem', cert: Buffer.from('') },
  webSocket: false,
  httpTimeoutMs: 5,
  logger: console,
});

export async function uses(): Promise<unknown[]> {
  const options: AcquireOptions = {
    waitMs: Infinity,
    autoRenew: true,
    maxHoldMs: 5,
    metadata: { a: [1, { b: null }] },
    shared: true,
    limit: 5,
    owner: 'o',
    requestId: 'r',
    signal: AbortSignal.timeout(5),
    onQueued: ({ position, holders }) => console.log(position + 1, holders[0].metadata?.a),
  };
  const lock: Lock = await client.acquire('x', 30_000, options);
  const tried: Lock | null = await client.tryAcquire('x');
  const result: number = await client.using('x', async (signal, { fencingToken }) => {
    signal.throwIfAborted();
    return fencingToken;
  });
  const text: string = await client.using('x', { ttlMs: 5, ...options }, () => 'sync');
  await using block = await client.acquire('x');
  await using other = new declared.DistributedLockClient('http://localhost');
  lock.ensureHeld();
  await lock.renew();
  await lock.renew(5);
  await lock.release();
  const { held, lost, leftMs, signal }: { held: boolean; lost: boolean; leftMs: number; signal: AbortSignal } = lock;
  const owned: Promise<Lock> = client.withOwner('o', () => client.acquire('x'));
  const heldForMs: number = await client.release('x', lock.lockId);
  const { expiresAt, ttlMs } = await client.renew('x', lock.renewalToken, 5);
  const status: LockStatus = await client.status('x');
  for await (const { lockName } of client.list('prefix')) console.log(lockName.length);
  for await (const event of client.subscribe(['x*'], ['granted', 'expired'], { signal })) noted(event);
  const dot: string = await client.graphDot();
  const reads = [(await client.stats()).nodes[0].id, (await client.graph()).cycles[0][0].holds, await client.health()];
  const [holder] = await client.forceRelease('x', 'why');
  await client.close();
  const locks = [tried, block, other, held, lost, leftMs, owned, status.holders, holder.clientId];
  return [Client, lockShape, result, text, heldForMs, expiresAt, ttlMs, dot, ...locks, ...reads];
}

const noted = (event: LockEvent) => (event.kind === 'gap' ? event.at : event.fencingToken);

export function tells(error: unknown): unknown {
  if (error instanceof declared.DeadlockError) return error.cycle[0].waitingSince;
  if (error instanceof declared.LockHeldError) return error.holders[0].ttlMs + error.queueLength;
  if (error instanceof declared.LimitMismatchError) return error.limit + 1;
  if (error instanceof declared.InvalidArgumentError) return error.fields[0].detail;
  if (error instanceof declared.LockError) return [error.code, error.serviceCode, error.retryAfterMs, error.cause];
  return error;
}

export function refused(lock: Lock): unknown[] {
  // @ts-expect-error: milliseconds are a number
  void client.acquire('x', '30s');
  // @ts-expect-error: a misspelt option
  void client.acquire('x', 5, { wait: 5 });
  // @ts-expect-error: it never waits
  void client.tryAcquire('x', 5, { waitMs: 5 });
  // @ts-expect-error: without a function
  void client.using('x', {});
  // @ts-expect-error: no such kind
  void client.subscribe('x', ['moved']);
  // @ts-expect-error: nobody makes one but the client
  void new declared.Lock();
  // @ts-expect-error: a lock's token is what it is
  lock.fencingToken = 5;
  // @ts-expect-error: there may be none
  return [client.tryAcquire('x').then((tried) => tried.lockId)];
}

/**
 * Client of the distributed lock service: fair, fenced locks with leases, waited for by push over one WebSocket a client.
 *
 * <pre>{@code
 * DistributedLockClient client = new DistributedLockClient("http://localhost:5000");
 * try (DistributedLock lock = client.acquire("user:123", 30)) {
 *     work(lock.getFencingToken());
 * }
 * }</pre>
 *
 * <p>A lock lasts as long as its lease. {@link distributedlock.DistributedLock#onLost} tells before the lease ends, by this
 * machine's own clock, or when the service says that the lock is gone; {@link
 * distributedlock.DistributedLockClient#withLock} interrupts the work then. Every failure is a {@link
 * distributedlock.LockException}, unchecked, with what the service said.
 */
package distributedlock;

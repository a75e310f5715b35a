package distributedlock;

/**
 * What {@link DistributedLockClient#withLock} does while it holds a lock.
 *
 * @param <E> what it may throw
 */
@FunctionalInterface
public interface LockedAction<E extends Exception> {
    /**
     * Does it. When the lock is lost, the thread is interrupted: it should stop then.
     *
     * @param lock the lock that is held
     * @throws E where it fails
     */
    void run(DistributedLock lock) throws E;
}

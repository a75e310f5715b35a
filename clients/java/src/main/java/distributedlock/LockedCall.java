package distributedlock;

/**
 * What {@link DistributedLockClient#callWithLock} does while it holds a lock.
 *
 * @param <T> what it returns
 * @param <E> what it may throw
 */
@FunctionalInterface
public interface LockedCall<T, E extends Exception> {
    /**
     * Does it. When the lock is lost, the thread is interrupted: it should stop then.
     *
     * @param lock the lock that is held
     * @return what came of it
     * @throws E where it fails
     */
    T call(DistributedLock lock) throws E;
}

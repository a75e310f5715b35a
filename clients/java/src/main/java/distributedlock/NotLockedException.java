package distributedlock;

/** There is nothing to take away: nobody holds the lock ({@code not_locked}). */
public final class NotLockedException extends LockException {
    private static final long serialVersionUID = 1L;

    NotLockedException(Problem problem, Throwable cause) {
        super(problem, cause);
    }
}

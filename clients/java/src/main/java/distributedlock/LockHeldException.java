package distributedlock;

/** Somebody else holds the lock, and the call does not wait ({@code lock_held}). */
public final class LockHeldException extends LockTimeoutException {
    private static final long serialVersionUID = 1L;

    LockHeldException(Problem problem, Throwable cause) {
        super(problem, cause);
    }
}

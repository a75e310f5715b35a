package distributedlock;

/** The lock is no longer held: its lease ran out, or it was taken ({@code lock_lost}, and every loss). */
public final class LockLostException extends LockException {
    private static final long serialVersionUID = 1L;

    LockLostException(Problem problem, Throwable cause) {
        super(problem, cause);
    }
}

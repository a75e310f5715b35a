package distributedlock;

/** The thread was interrupted while it waited. Its interrupt flag is set again; the request has left the line, and a grant
 * that crossed it goes back. */
public final class LockInterruptedException extends LockException {
    private static final long serialVersionUID = 1L;

    LockInterruptedException(Problem problem, Throwable cause) {
        super(problem, cause);
    }
}

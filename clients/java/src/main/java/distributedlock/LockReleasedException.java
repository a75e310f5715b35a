package distributedlock;

/** The lock was released here: nothing can be done with it any more. */
public final class LockReleasedException extends LockException {
    private static final long serialVersionUID = 1L;

    LockReleasedException(Problem problem, Throwable cause) {
        super(problem, cause);
    }
}

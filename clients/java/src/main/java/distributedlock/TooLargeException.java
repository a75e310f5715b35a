package distributedlock;

/** The request has more than 64 KiB ({@code too_large}). */
public final class TooLargeException extends LockException {
    private static final long serialVersionUID = 1L;

    TooLargeException(Problem problem, Throwable cause) {
        super(problem, cause);
    }
}

package distributedlock;

/**
 * No endpoint was reached in time, or the service cannot do it now ({@code unavailable}, {@code draining}). The cause is
 * what went wrong last.
 */
public class LockServiceUnavailableException extends LockException {
    private static final long serialVersionUID = 1L;

    LockServiceUnavailableException(Problem problem, Throwable cause) {
        super(problem, cause);
    }
}

package distributedlock;

/** The client was closed. */
public final class ClientClosedException extends LockException {
    private static final long serialVersionUID = 1L;

    ClientClosedException(Problem problem, Throwable cause) {
        super(problem, cause);
    }
}

package distributedlock;

/** The grant is another client's ({@code not_owner}). */
public final class NotOwnerException extends LockException {
    private static final long serialVersionUID = 1L;

    NotOwnerException(Problem problem, Throwable cause) {
        super(problem, cause);
    }
}

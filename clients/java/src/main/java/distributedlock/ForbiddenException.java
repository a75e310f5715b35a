package distributedlock;

/** The token does not allow it ({@code forbidden}), or the service has no admin token ({@code admin_disabled}). */
public final class ForbiddenException extends LockException {
    private static final long serialVersionUID = 1L;

    ForbiddenException(Problem problem, Throwable cause) {
        super(problem, cause);
    }
}

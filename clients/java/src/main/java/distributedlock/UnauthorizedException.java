package distributedlock;

/** There is no token, or a wrong one ({@code unauthorized}). */
public final class UnauthorizedException extends LockException {
    private static final long serialVersionUID = 1L;

    UnauthorizedException(Problem problem, Throwable cause) {
        super(problem, cause);
    }
}

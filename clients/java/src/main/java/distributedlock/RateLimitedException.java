package distributedlock;

/** The node takes no more requests for now ({@code rate_limited}). */
public final class RateLimitedException extends LockException {
    private static final long serialVersionUID = 1L;

    RateLimitedException(Problem problem, Throwable cause) {
        super(problem, cause);
    }
}

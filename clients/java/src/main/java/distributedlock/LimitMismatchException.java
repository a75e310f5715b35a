package distributedlock;

/** The lock is in use with another limit ({@code limit_mismatch}). */
public final class LimitMismatchException extends LockException {
    private static final long serialVersionUID = 1L;

    LimitMismatchException(Problem problem, Throwable cause) {
        super(problem, cause);
    }

    /**
     * The limit in use.
     *
     * @return the live lock's permits
     */
    public int getLimit() {
        return problem().limit();
    }
}

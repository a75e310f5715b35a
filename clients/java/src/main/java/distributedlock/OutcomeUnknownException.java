package distributedlock;

/** The service does not know whether it was done ({@code outcome_unknown}). Asking again with the same request id settles
 * it, which the client does by itself. */
public final class OutcomeUnknownException extends LockException {
    private static final long serialVersionUID = 1L;

    OutcomeUnknownException(Problem problem, Throwable cause) {
        super(problem, cause);
    }
}

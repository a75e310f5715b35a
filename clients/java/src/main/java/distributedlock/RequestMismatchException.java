package distributedlock;

/** The request id was used for another request ({@code request_mismatch}). */
public final class RequestMismatchException extends LockException {
    private static final long serialVersionUID = 1L;

    RequestMismatchException(Problem problem, Throwable cause) {
        super(problem, cause);
    }
}

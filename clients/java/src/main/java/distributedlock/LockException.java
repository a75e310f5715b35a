package distributedlock;

import java.time.Duration;

/**
 * What a call fails with. It is unchecked; its subclasses say what the case is, and it carries what the service said. An
 * error that no subclass stands for, as of a later version of the service, is a plain {@code LockException} with its code.
 */
public class LockException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    private final transient Problem problem;

    LockException(Problem problem, Throwable cause) {
        super(problem.message(), cause);
        this.problem = problem;
    }

    /** The exception of a problem: its code decides which. */
    static LockException of(Problem p, Throwable cause) {
        return switch (p.code()) {
            case "lock_held" -> new LockHeldException(p, cause);
            case Problem.WAIT_TIMEOUT -> new LockTimeoutException(p, cause);
            case "deadlock" -> new DeadlockException(p, cause);
            case Problem.LOCK_LOST -> new LockLostException(p, cause);
            case Problem.NOT_OWNER -> new NotOwnerException(p, cause);
            case "not_locked" -> new NotLockedException(p, cause);
            case "limit_mismatch" -> new LimitMismatchException(p, cause);
            case "request_mismatch" -> new RequestMismatchException(p, cause);
            case Problem.INVALID -> new InvalidArgumentException(p, cause);
            case Problem.TOO_LARGE -> new TooLargeException(p, cause);
            case "unauthorized" -> new UnauthorizedException(p, cause);
            case "forbidden", "admin_disabled" -> new ForbiddenException(p, cause);
            case "queue_full" -> new QueueFullException(p, cause);
            case Problem.RATE_LIMITED -> new RateLimitedException(p, cause);
            case Problem.UNAVAILABLE, Problem.DRAINING -> new LockServiceUnavailableException(p, cause);
            case Problem.OUTCOME_UNKNOWN -> new OutcomeUnknownException(p, cause);
            case Problem.CLOSED -> new ClientClosedException(p, cause);
            case Problem.RELEASED -> new LockReleasedException(p, cause);
            case Problem.INTERRUPTED -> new LockInterruptedException(p, cause);
            default -> new LockException(p, cause);
        };
    }

    /** The same once more, with the stack of the thread that is told it. */
    final LockException again() {
        return of(problem, getCause());
    }

    final Problem problem() {
        return problem;
    }

    /**
     * The case, for programs: {@code lock_held}, {@code wait_timeout}, {@code deadlock}…
     *
     * @return the service's name of it
     */
    public final String getCode() {
        return problem.code();
    }

    /**
     * The HTTP status of the case, over a WebSocket too.
     *
     * @return the status; 0 where there is none
     */
    public final int getStatus() {
        return problem.status();
    }

    /**
     * What the case is, for people.
     *
     * @return a title, the same for all of its kind
     */
    public final String getTitle() {
        return problem.title();
    }

    /**
     * What happened this time, and what to do, for people.
     *
     * @return a sentence or two
     */
    public final String getDetail() {
        return problem.detail();
    }

    /**
     * The acquire's request id, or else the id under which the service logged the call.
     *
     * @return the id; empty where there is none
     */
    public final String getRequestId() {
        return problem.requestId();
    }

    /**
     * The lock that the call was about.
     *
     * @return its name; empty where there is none
     */
    public final String getLockName() {
        return problem.lockName();
    }

    /**
     * How long to wait before asking again.
     *
     * @return the time; zero where the service did not say
     */
    public final Duration getRetryAfter() {
        return problem.retryAfter();
    }
}

package distributedlock;

/** As many wait for the lock as may ({@code queue_full}). */
public final class QueueFullException extends LockException {
    private static final long serialVersionUID = 1L;

    QueueFullException(Problem problem, Throwable cause) {
        super(problem, cause);
    }
}

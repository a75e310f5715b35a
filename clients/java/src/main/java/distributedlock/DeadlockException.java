package distributedlock;

import java.util.List;

/** The request was failed to break a deadlock ({@code deadlock}). Release what is held, then begin anew. */
public final class DeadlockException extends LockException {
    private static final long serialVersionUID = 1L;

    DeadlockException(Problem problem, Throwable cause) {
        super(problem, cause);
    }

    /**
     * The circle: each waits for what the next one holds, the last for what the first holds.
     *
     * @return its owners, in that order
     */
    public List<CycleStep> getCycle() {
        return problem().cycle();
    }
}

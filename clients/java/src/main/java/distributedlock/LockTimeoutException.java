package distributedlock;

import java.time.Duration;
import java.util.List;

/** The lock did not come free within the wait ({@code wait_timeout}). */
public class LockTimeoutException extends LockException {
    private static final long serialVersionUID = 1L;

    LockTimeoutException(Problem problem, Throwable cause) {
        super(problem, cause);
    }

    /**
     * Those in the way.
     *
     * @return up to 100 of them
     */
    public List<Holder> getHolders() {
        return problem().holders();
    }

    /**
     * The line's length.
     *
     * @return how many wait for the lock
     */
    public int getQueueLength() {
        return problem().queueLength();
    }

    /**
     * The time in line.
     *
     * @return how long the request waited; zero where it did not wait
     */
    public Duration getWaitTime() {
        return problem().waitTime();
    }
}

package distributedlock;

import java.time.Duration;
import java.util.concurrent.ThreadLocalRandom;

/**
 * How long to wait before the next try: up to 50 ms, 100 ms, 200 ms… 5 s, all of it by chance, so that many clients do not
 * come back at once. See <a href="https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/">Exponential
 * Backoff and Jitter</a>.
 */
final class Backoff {
    private static final long BASE = 50 * Moment.MILLI;
    private static final long MOST = 5 * Moment.SECOND;

    private Backoff() {}

    /** Nanoseconds before the try after that attempt, counted from 0; never less than the floor. */
    static long delay(int attempt, long atLeast) {
        long most = attempt < 7 ? Math.min(BASE << attempt, MOST) : MOST;
        return atLeast + ThreadLocalRandom.current().nextLong(most);
    }

    /** What the service asked for, up to a second: a call has its own time. */
    static long floor(Duration retryAfter) {
        return Math.min(Moment.nanos(retryAfter), Moment.SECOND);
    }
}

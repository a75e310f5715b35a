package distributedlock;

import java.time.Duration;

/**
 * Moments of the local monotonic clock: nanoseconds since this class was loaded, always above 0. A 0 stands for what has
 * not been yet.
 */
final class Moment {
    static final long MILLI = 1_000_000L;
    static final long SECOND = 1_000_000_000L;
    /** A moment that does not come. */
    static final long NEVER = Long.MAX_VALUE;

    private static final long START = System.nanoTime() - 1;

    private Moment() {}

    static long now() {
        return System.nanoTime() - START;
    }

    /** A duration in nanoseconds; a hundred years stand for all that is longer. */
    static long nanos(Duration d) {
        long most = 36_525L * 86_400L;
        return d.toSeconds() > most ? most * SECOND : d.toNanos();
    }
}

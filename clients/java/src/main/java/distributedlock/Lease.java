package distributedlock;

import java.time.Instant;
import java.util.OptionalLong;

/**
 * A lease by the local monotonic clock.
 *
 * @param ttl its length, in nanoseconds
 * @param ends when it ends at the earliest
 * @param endsLast when it ends at the latest
 * @param proven whether more was known of when it began than the moment of the request
 */
record Lease(long ttl, long ends, long endsLast, boolean proven) {
    private static final long LEAST_MARGIN = 10 * Moment.MILLI;
    private static final long MOST_MARGIN = 500 * Moment.MILLI;

    /**
     * The lease of a grant that was asked for after sent and told at received. What was left of it then, the service read
     * after the request had been sent; where that was long ago, its clock tells more.
     */
    static Lease granted(long asked, long left, long sent, long received, Instant expires, ServiceClock clock) {
        long endsLast = received + left;
        OptionalLong told = clock.local(expires, received);
        long ends = Math.min(Math.max(sent + left, told.orElse(0)), endsLast);
        return new Lease(asked > 0 ? asked : left, ends, endsLast, told.isPresent());
    }

    static Lease renewed(long ttl, long sent, long received) {
        return new Lease(ttl, sent + ttl, received + ttl, true);
    }

    Lease endingAt(long sooner) {
        return new Lease(ttl, sooner, endsLast, proven);
    }

    /** How long before the end it counts as lost: what depends on it must have stopped by then. */
    long margin() {
        return Math.min(Math.max(ttl / 10, LEAST_MARGIN), MOST_MARGIN);
    }

    long lostAt() {
        return ends - margin();
    }

    /** Whether so little is known of when it began that it is better renewed than used. */
    boolean unclear() {
        return !proven && endsLast - ends > margin();
    }
}

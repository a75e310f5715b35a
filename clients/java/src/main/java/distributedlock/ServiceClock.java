package distributedlock;

import java.time.Instant;
import java.util.OptionalLong;

/**
 * Bounds how far the service's clock is ahead of the local one. Only the upper bound counts: by it a lease ends, here, no
 * later than it does there. A new clock knows nothing. The client's guard protects it.
 */
final class ServiceClock {
    /** How far two clocks may part, by the second: 200 ppm is twice what is usual for bad ones. */
    private static final double DRIFT = 200e-6;
    /** For the milliseconds that the service's times are cut to. */
    private static final long ROUNDING = 2 * Moment.MILLI;

    private long ahead;
    private long at;
    private boolean known;

    void forget() {
        known = false;
    }

    /** The upper bound now: the older it is, the farther the clocks may have parted. */
    private long bound(long now) {
        return ahead + (long) ((now - at) * DRIFT);
    }

    private static long nanos(Instant t) {
        return t.getEpochSecond() * Moment.SECOND + t.getNano();
    }

    /** Takes in a time that the service told: it was read at some moment between sent and received. */
    void learn(Instant server, long sent, long received) {
        long most = nanos(server) - sent + ROUNDING;
        long least = nanos(server) - received;
        long bound = bound(received);
        if (!known || most < bound || least > bound) { // the last: the clock was set forward
            ahead = most;
            at = received;
            known = true;
        }
    }

    /**
     * Takes in a time that the service told at an unknown moment before received. Where that cannot be, its clock was set
     * forward, and what was known is worth nothing.
     */
    void doubt(Instant server, long received) {
        if (known && nanos(server) - received > bound(received)) {
            known = false;
        }
    }

    /** The earliest local moment that a moment of the service's clock may be. */
    OptionalLong local(Instant server, long now) {
        return known ? OptionalLong.of(nanos(server) - bound(now)) : OptionalLong.empty();
    }
}

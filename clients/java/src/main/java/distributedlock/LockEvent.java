package distributedlock;

import com.google.gson.annotations.SerializedName;
import java.time.Instant;
import java.util.List;

/**
 * Something that happened to a lock.
 *
 * @param kind {@code granted}, {@code released}, {@code expired}, {@code renewed}, {@code force_released}, {@code queued},
 *     {@code dequeued}, {@code deadlock}; {@code quarantine}, for those who name it; or {@code gap}, where some may have been
 *     missed: read the state anew
 * @param lockName the lock; null for a gap and a quarantine
 * @param clientId whose: the former holder's for {@code expired} and {@code force_released}
 * @param ownerId likewise
 * @param fencingToken the grant's token; 0 where there is none
 * @param seq rises with every event of the lock
 * @param at when, by the service's clock
 * @param reason why, where there is something to say; null else
 * @param cycle of {@code deadlock}; empty else
 * @param seconds what is left of a {@code quarantine}; 0 at its end
 */
public record LockEvent(
        @SerializedName("event") String kind,
        String lockName,
        String clientId,
        String ownerId,
        long fencingToken,
        long seq,
        Instant at,
        String reason,
        List<CycleStep> cycle,
        double seconds) {
    /** The kind of event that says that some may be missing. */
    public static final String GAP = "gap";

    static LockEvent gap(Instant at) {
        return new LockEvent(GAP, null, null, null, 0, 0, at, null, List.of(), 0);
    }
}

package distributedlock;

import java.time.Instant;
import java.util.List;

/**
 * A lock as it is now. A free lock has no mode, limit and holders.
 *
 * @param lockName its name
 * @param locked whether anybody holds it
 * @param mode {@code exclusive} or {@code shared}; null for a free lock
 * @param limit how many permits it has; 0 for a free lock
 * @param clientId the single holder's client; null where there are none or several
 * @param expiresAt when the single holder's lease ends, by the service's clock; null likewise
 * @param fencingToken the single holder's token; 0 likewise
 * @param holders who holds it
 * @param queueLength how many wait
 * @param waiters the first 100 in line; empty in a listing
 */
public record LockStatus(
        String lockName,
        boolean locked,
        String mode,
        int limit,
        String clientId,
        Instant expiresAt,
        long fencingToken,
        List<Holder> holders,
        int queueLength,
        List<Waiter> waiters) {}

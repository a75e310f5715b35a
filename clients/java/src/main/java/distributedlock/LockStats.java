package distributedlock;

import java.util.List;
import java.util.Map;

/**
 * Figures of the whole cluster, at most 2 s old.
 *
 * @param activeLocks locks held
 * @param waitingClients requests in line
 * @param contendedLocks locks that somebody waits for
 * @param acquiredTotal grants so far
 * @param releasedTotal releases so far
 * @param expiredTotal leases that ran out
 * @param forceReleasedTotal grants that an admin took away
 * @param renewedTotal renewals so far
 * @param deadlocksDetected deadlocks broken
 * @param nodes the nodes that live, each with all it says of itself, its {@code id} too
 */
public record LockStats(
        long activeLocks,
        long waitingClients,
        long contendedLocks,
        long acquiredTotal,
        long releasedTotal,
        long expiredTotal,
        long forceReleasedTotal,
        long renewedTotal,
        long deadlocksDetected,
        List<Map<String, Object>> nodes) {}

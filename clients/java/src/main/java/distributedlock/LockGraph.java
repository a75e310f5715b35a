package distributedlock;

import java.time.Instant;
import java.util.List;

/**
 * Who waits for whom.
 *
 * @param owners all who hold or wait
 * @param edges a waiter and a holder that it waits for, each
 * @param cycles the deadlocks that stand at this moment
 * @param truncated whether there are more edges than are shown
 * @param note what there is to know about it; null for nothing
 */
public record LockGraph(
        List<Owner> owners, List<Edge> edges, List<List<CycleStep>> cycles, boolean truncated, String note) {
    /**
     * Who holds or waits.
     *
     * @param clientId the client
     * @param ownerId the owner: a thread, task or job of that client
     */
    public record Owner(String clientId, String ownerId) {}

    /**
     * A wait.
     *
     * @param waiter the owner that waits
     * @param waiterClientId its client
     * @param holder the owner that it waits for
     * @param holderClientId its client
     * @param lockName the lock that is waited for
     * @param since since when, by the service's clock
     */
    public record Edge(
            String waiter,
            String waiterClientId,
            String holder,
            String holderClientId,
            String lockName,
            Instant since) {}
}

package distributedlock;

import java.time.Instant;

/**
 * An owner in a deadlock: it holds what the one before waits for.
 *
 * @param clientId whose it is
 * @param ownerId the owner: a thread, task or job of that client
 * @param holds the lock it holds
 * @param heldSince since when, by the service's clock
 * @param waitsFor the lock it waits for
 * @param waitingSince since when, by the service's clock
 */
public record CycleStep(
        String clientId, String ownerId, String holds, Instant heldSince, String waitsFor, Instant waitingSince) {}

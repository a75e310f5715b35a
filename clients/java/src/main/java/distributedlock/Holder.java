package distributedlock;

import java.time.Instant;
import java.util.Map;

/**
 * Who holds a lock.
 *
 * @param clientId the client
 * @param ownerId the owner: a thread, task or job of that client
 * @param acquiredAt since when, by the service's clock
 * @param expiresAt until when, by the service's clock
 * @param ttlMs what is left of the lease, in milliseconds
 * @param fencingToken the grant's token
 * @param autoRenew whether the service renews it
 * @param metadata what the holder said about it; null where it said nothing
 */
public record Holder(
        String clientId,
        String ownerId,
        Instant acquiredAt,
        Instant expiresAt,
        long ttlMs,
        long fencingToken,
        boolean autoRenew,
        Map<String, Object> metadata) {}

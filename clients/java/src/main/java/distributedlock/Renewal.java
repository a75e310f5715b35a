package distributedlock;

import java.time.Duration;
import java.time.Instant;

/**
 * A new lease.
 *
 * @param expiresAt when it ends, by the service's clock
 * @param ttl how long it lasts
 * @param fencingToken the grant's token, the same as before
 */
public record Renewal(Instant expiresAt, Duration ttl, long fencingToken) {}

package distributedlock;

import com.google.gson.JsonObject;
import java.time.Duration;
import java.time.Instant;

/** What is told of a lock that was granted, renewed or released. */
record Grant(
        String name,
        String lockId,
        String token,
        String requestId,
        Instant expires,
        long ttl,
        long fencing,
        Duration waited,
        Duration heldFor) {

    static Grant read(JsonObject o) {
        return new Grant(
                Json.text(o, "lockName"),
                Json.text(o, "lockId"),
                Json.text(o, "renewalToken"),
                Json.text(o, "requestId"),
                Json.time(o, "expiresAt"),
                Json.number(o, "ttlMs") * Moment.MILLI,
                Json.number(o, "fencingToken"),
                Json.seconds(o, "waitTime"),
                Json.seconds(o, "heldFor"));
    }

    /** The service's time as it was told, where it was told at once. */
    Instant now() {
        return expires.minusNanos(ttl);
    }

    /** Without its secrets. */
    @Override
    public String toString() {
        return "Grant[" + name + ", " + fencing + "]";
    }

    Renewal renewal() {
        return new Renewal(expires, Duration.ofNanos(ttl), fencing);
    }
}

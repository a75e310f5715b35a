package distributedlock;

import com.google.gson.JsonParseException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Map;
import java.util.function.Consumer;

/** One logical acquire, over all its tries. Times are in nanoseconds. */
final class Request {
    /** How long a call that does not wait in line, or not as long, tries to reach the service. */
    private static final long LEAST_TRIED = 5 * Moment.SECOND;
    /** For the service to say that a wait ran out. */
    private static final long WAIT_GRACE = Moment.SECOND;

    final String name;
    final String owner;
    final String id;
    final long ttl;
    final boolean autoRenew;
    final long maxHold;
    final Map<String, Object> metadata;
    final Consumer<Place> onQueued;
    final Consumer<LockLostException> onLost;
    /** When it began, and when its wait in line ends, NEVER for no bound; until when it is tried. */
    final long begin = Moment.now();

    final long end;
    final long until;
    private final String metadataJson;
    private final boolean shared;
    private final Integer limit;

    Request(String name, Duration lease, LockOptions o, Settings s, String owner) {
        this.name = checkName(name);
        this.owner = checkText("ownerId", owner);
        id = checkText("requestId", o.requestId() == null ? LockOwner.newId() : o.requestId());
        ttl = Moment.nanos(lease);
        autoRenew = o.renews(s.autoRenew);
        maxHold = Moment.nanos(o.maxHold());
        metadata = o.metadata();
        metadataJson = metadata == null ? null : json(metadata);
        shared = o.isShared();
        limit = o.limit();
        onQueued = o.onQueued();
        onLost = o.onLost();
        Duration wait = o.longestWait();
        end = wait == null ? Moment.NEVER : begin + Moment.nanos(wait);
        until = wait == null ? Moment.NEVER : Math.max(end + WAIT_GRACE, begin + LEAST_TRIED);
    }

    boolean bounded() {
        return end != Moment.NEVER;
    }

    boolean triesOnce() {
        return end == begin;
    }

    /** Says what is wrong with a lock's name that no path can carry, or that would become another's. */
    static String checkName(String name) {
        if (name == null || name.isEmpty()) {
            throw Problem.invalid("lockName", "is required");
        }
        if (name.equals(".") || name.equals("..")) {
            throw Problem.invalid("lockName", "must not be . or .., which proxies rewrite");
        }
        return checkText("lockName", name);
    }

    private static String checkText(String field, String text) {
        if (!StandardCharsets.UTF_8.newEncoder().canEncode(text)) {
            throw Problem.invalid(field, "must be Unicode, without half surrogates");
        }
        return text;
    }

    private static String json(Map<String, Object> metadata) {
        try {
            return Json.GSON.toJson(metadata);
        } catch (JsonParseException | IllegalArgumentException | UnsupportedOperationException e) {
            throw Problem.invalid("metadata", "cannot be JSON: " + e.getMessage());
        }
    }

    /** Adds the members of an acquire, over whatever it goes. */
    Body addTo(Body b, long wait) {
        if (ttl != 0) {
            b.seconds("timeout", ttl);
        }
        if (wait > 0) {
            b.seconds("waitTimeout", wait);
        }
        if (metadataJson != null) {
            b.raw("metadata", metadataJson);
        }
        b.text("ownerId", owner).text("requestId", id);
        if (shared) {
            b.raw("mode", "\"shared\"");
        }
        return limit == null ? b : b.raw("limit", limit.toString());
    }
}

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonPrimitive;
import com.google.gson.JsonSerializer;
import com.google.gson.ToNumberPolicy;
import com.google.gson.reflect.TypeToken;
import distributedlock.ClientClosedException;
import distributedlock.DeadlockException;
import distributedlock.ForbiddenException;
import distributedlock.InvalidArgumentException;
import distributedlock.LimitMismatchException;
import distributedlock.LockException;
import distributedlock.LockHeldException;
import distributedlock.LockInterruptedException;
import distributedlock.LockLostException;
import distributedlock.LockReleasedException;
import distributedlock.LockServiceUnavailableException;
import distributedlock.LockTimeoutException;
import distributedlock.NotLockedException;
import distributedlock.NotOwnerException;
import distributedlock.OutcomeUnknownException;
import distributedlock.QueueFullException;
import distributedlock.RateLimitedException;
import distributedlock.RequestMismatchException;
import distributedlock.TooLargeException;
import distributedlock.UnauthorizedException;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** The SDK's errors and values under the protocol's names. */
final class Failure {
    private static final Gson GSON = new GsonBuilder()
            .setObjectToNumberStrategy(ToNumberPolicy.LONG_OR_DOUBLE)
            .registerTypeAdapter(
                    Instant.class, (JsonSerializer<Instant>) (t, type, c) -> new JsonPrimitive(t.toString()))
            .create();

    private static final Map<Class<?>, String> KINDS = Map.ofEntries(
            Map.entry(InterruptedException.class, "cancelled"),
            Map.entry(LockInterruptedException.class, "cancelled"),
            Map.entry(LockLostException.class, "lost"),
            Map.entry(LockReleasedException.class, "released"),
            Map.entry(ClientClosedException.class, "closed"),
            Map.entry(LockHeldException.class, "held"),
            Map.entry(LockTimeoutException.class, "wait_timeout"),
            Map.entry(DeadlockException.class, "deadlock"),
            Map.entry(NotOwnerException.class, "not_owner"),
            Map.entry(NotLockedException.class, "not_locked"),
            Map.entry(LimitMismatchException.class, "limit_mismatch"),
            Map.entry(RequestMismatchException.class, "request_mismatch"),
            Map.entry(InvalidArgumentException.class, "invalid_argument"),
            Map.entry(TooLargeException.class, "too_large"),
            Map.entry(UnauthorizedException.class, "unauthorized"),
            Map.entry(ForbiddenException.class, "forbidden"),
            Map.entry(QueueFullException.class, "queue_full"),
            Map.entry(RateLimitedException.class, "rate_limited"),
            Map.entry(OutcomeUnknownException.class, "outcome_unknown"),
            Map.entry(LockServiceUnavailableException.class, "unavailable"));

    private Failure() {}

    static Map<String, Object> of(Exception failure) {
        Map<String, Object> o = new TreeMap<>();
        o.put("kind", KINDS.getOrDefault(failure.getClass(), "other"));
        o.put("detail", String.valueOf(failure.getMessage()));
        if (!(failure instanceof LockException e)) {
            return o;
        }
        o.put("code", e.getCode());
        o.put("status", e.getStatus());
        o.put("detail", e.getDetail());
        o.put("requestId", e.getRequestId());
        o.put("lockName", e.getLockName());
        o.put("retryAfterMs", TestClient.ms(e.getRetryAfter()));
        if (e instanceof LockTimeoutException t) {
            o.put("holders", asList(t.getHolders()));
            o.put("queueLength", t.getQueueLength());
            o.put("waitTimeMs", TestClient.ms(t.getWaitTime()));
        } else if (e instanceof DeadlockException d) {
            o.put("cycle", asList(d.getCycle()));
        } else if (e instanceof LimitMismatchException l) {
            o.put("limit", l.getLimit());
        } else if (e instanceof InvalidArgumentException i) {
            o.put("fields", asList(i.getFields()));
        }
        return o;
    }

    static Map<String, Object> asObject(Object value) {
        return GSON.fromJson(GSON.toJson(value), new TypeToken<Map<String, Object>>() {});
    }

    static List<Object> asList(Object value) {
        return GSON.fromJson(GSON.toJson(value), new TypeToken<List<Object>>() {});
    }
}

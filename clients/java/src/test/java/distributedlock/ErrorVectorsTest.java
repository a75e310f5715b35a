package distributedlock;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import com.google.gson.JsonObject;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;

/** What is made of answers that are errors, over REST and over the WebSocket. */
class ErrorVectorsTest {
    private static final Map<String, Class<?>> KINDS = Map.ofEntries(
            Map.entry("held", LockHeldException.class),
            Map.entry("wait_timeout", LockTimeoutException.class),
            Map.entry("deadlock", DeadlockException.class),
            Map.entry("lost", LockLostException.class),
            Map.entry("not_owner", NotOwnerException.class),
            Map.entry("not_locked", NotLockedException.class),
            Map.entry("limit_mismatch", LimitMismatchException.class),
            Map.entry("request_mismatch", RequestMismatchException.class),
            Map.entry("invalid_argument", InvalidArgumentException.class),
            Map.entry("too_large", TooLargeException.class),
            Map.entry("unauthorized", UnauthorizedException.class),
            Map.entry("forbidden", ForbiddenException.class),
            Map.entry("queue_full", QueueFullException.class),
            Map.entry("rate_limited", RateLimitedException.class),
            Map.entry("unavailable", LockServiceUnavailableException.class),
            Map.entry("outcome_unknown", OutcomeUnknownException.class),
            Map.entry("other", LockException.class));

    @TestFactory
    Stream<DynamicTest> errors() throws IOException {
        return Vectors.read("errors.json").stream()
                .filter(v -> !v.get("kind").getAsString().equals("cancelled")) // no Java caller is told so
                .map(v -> DynamicTest.dynamicTest(v.get("about").getAsString(), () -> check(v)));
    }

    private static void check(JsonObject v) throws IOException {
        LockException e = v.has("http")
                ? overRest(v.getAsJsonObject("http"))
                : overSocket(v.get("frame").getAsString());
        String kind = v.get("kind").getAsString();
        if (!v.has("http") && e.getCause() instanceof LockException last) { // tried for some time in vain
            assertEquals(LockServiceUnavailableException.class, e.getClass());
            e = last;
        }
        assertEquals(KINDS.get(kind), e.getClass(), e.toString());
        Map<String, Object> told = fields(e);
        v.getAsJsonObject("fields").entrySet().forEach(f -> {
            boolean whole = kind.equals("wait_timeout") && f.getKey().equals("waitTimeMs") && !v.has("http");
            if (told.containsKey(f.getKey()) && !whole) { // an acquire tells its whole wait, over all that it asked
                assertEquals(Vectors.plain(f.getValue()), told.get(f.getKey()), f.getKey());
            }
        });
        assertEquals(
                e.getDetail().isEmpty()
                        ? e.getTitle() + " (" + e.getCode() + ", status " + e.getStatus() + ")"
                        : e.getDetail() + " (" + e.getCode() + ")",
                e.getMessage());
    }

    private static Map<String, Object> fields(LockException e) {
        Map<String, Object> f = new TreeMap<>();
        f.put("code", e.getCode());
        f.put("status", (double) e.getStatus());
        f.put("title", e.getTitle());
        f.put("detail", e.getDetail());
        f.put("requestId", e.getRequestId());
        f.put("retryAfterMs", e.getRetryAfter().toNanos() / 1e6);
        if (e instanceof LockTimeoutException t) {
            f.put("holders", Vectors.onWire(t.getHolders()));
            f.put("queueLength", (double) t.getQueueLength());
            f.put("waitTimeMs", t.getWaitTime().toNanos() / 1e6);
        } else if (e instanceof DeadlockException d) {
            f.put("cycle", Vectors.onWire(d.getCycle()));
        } else if (e instanceof LimitMismatchException l) {
            f.put("limit", (double) l.getLimit());
        } else if (e instanceof InvalidArgumentException i) {
            f.put("fields", Vectors.onWire(i.getFields()));
        }
        return f;
    }

    /** What a call fails with that is answered so: it is read as any answer is. */
    private static LockException overRest(JsonObject http) throws IOException {
        HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        byte[] body = http.get("body").getAsString().getBytes(StandardCharsets.UTF_8);
        server.createContext("/", exchange -> {
            http.getAsJsonObject("headers").entrySet().forEach(h -> exchange.getResponseHeaders()
                    .set(h.getKey(), h.getValue().getAsString()));
            exchange.sendResponseHeaders(http.get("status").getAsInt(), body.length == 0 ? -1 : body.length);
            exchange.getResponseBody().write(body);
            exchange.close();
        });
        server.start();
        try (DistributedLockClient c = new DistributedLockClient(
                "http://127.0.0.1:" + server.getAddress().getPort())) {
            return assertThrows(LockException.class, () -> c.status("x"));
        } finally {
            server.stop(0);
        }
    }

    private static LockException overSocket(String frame) throws IOException {
        try (FakeNode node = new FakeNode();
                DistributedLockClient c = node.client()) {
            node.on("acquire", (peer, f) -> peer.send(FakeNode.retold(frame, f)));
            LockOptions once = LockOptions.defaults().waitTimeout(Duration.ZERO).requestId("r-1");
            return assertThrows(LockException.class, () -> c.acquire("x", Duration.ofSeconds(1), once));
        }
    }
}

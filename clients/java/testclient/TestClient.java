import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.gson.ToNumberPolicy;
import distributedlock.DistributedLock;
import distributedlock.DistributedLockClient;
import distributedlock.LockEvent;
import distributedlock.LockEventListener;
import distributedlock.LockException;
import distributedlock.LockOptions;
import distributedlock.LockOwner;
import distributedlock.Renewal;
import distributedlock.Subscription;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;

/**
 * Does with the Java SDK what the conformance runner asks for, in lines of JSON on stdin. The protocol is in
 * clients/conformance/README.md.
 */
public final class TestClient {
    static final Gson GSON = new GsonBuilder()
            .setObjectToNumberStrategy(ToNumberPolicy.LONG_OR_DOUBLE)
            .serializeNulls()
            .create();

    private final PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
    private final long start = System.nanoTime();
    private final Map<Integer, DistributedLock> locks = new ConcurrentHashMap<>();
    private final Map<Integer, Runnable> cancels = new ConcurrentHashMap<>();
    private volatile DistributedLockClient client;

    public static void main(String[] args) throws IOException, InterruptedException {
        Warmup.run();
        new TestClient().read();
    }

    private void read() throws IOException {
        push("ready", 0, Map.of("lang", "java"));
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            JsonObject q = JsonParser.parseString(line).getAsJsonObject();
            Args a = new Args(q);
            if (a.op.equals("leaks")) { // not beside itself
                answer(a);
                continue;
            }
            Thread t = new Thread(() -> answer(a), "request-" + a.id);
            t.setDaemon(true);
            cancels.put(a.id, t::interrupt);
            t.start();
        }
        System.exit(0);
    }

    private synchronized void write(Map<String, Object> line) {
        line.put("at", now());
        out.print(GSON.toJson(line) + "\n");
        out.flush();
    }

    private double now() {
        return (System.nanoTime() - start) / 1e6;
    }

    private void push(String event, int of, Map<String, ?> more) {
        Map<String, Object> line = new TreeMap<>(more);
        line.put("event", event);
        line.put("of", of);
        write(line);
    }

    private void answer(Args a) {
        Map<String, Object> line = new TreeMap<>();
        line.put("id", a.id);
        try {
            line.put("ok", run(a));
        } catch (Exception e) {
            line.put("error", Failure.of(e));
        }
        if (!a.op.equals("subscribe")) {
            cancels.remove(a.id);
        }
        write(line);
    }

    private Map<String, Object> run(Args a) throws Exception {
        DistributedLockClient c = client;
        DistributedLock lock = locks.get(a.number("target"));
        switch (a.op) {
            case "open":
                return open(a);
            case "close":
                c.close();
                return Map.of();
            case "leaks":
                return Map.of("tasks", Leaks.count());
            case "acquire", "try":
                return acquire(c, a);
            case "do":
                return block(c, a);
            case "release":
                lock.release();
                return Map.of();
            case "renew":
                lock.renew(a.millis("ttlMs"));
                return Map.of("leftMs", ms(lock.timeLeft()));
            case "check":
                lock.ensureHeld();
                return Map.of("held", lock.isHeld(), "leftMs", ms(lock.timeLeft()));
            case "cancel":
                Runnable cancel = cancels.get(a.number("target"));
                if (cancel != null) {
                    cancel.run();
                }
                return Map.of();
            case "subscribe":
                listen(c, a);
                return Map.of();
            default:
                return plain(c, a);
        }
    }

    /** The calls without a lock of this process. */
    private static Map<String, Object> plain(DistributedLockClient c, Args a) {
        switch (a.op) {
            case "releaseById":
                return Map.of("heldForMs", ms(c.release(a.text("name"), a.text("lockId"))));
            case "renewByToken":
                Renewal r = c.renew(a.text("name"), a.text("renewalToken"), a.millis("ttlMs"));
                return Map.of("fencingToken", r.fencingToken(), "ttlMs", ms(r.ttl()));
            case "status":
                return Failure.asObject(c.status(a.text("name")));
            case "list":
                try (var all = c.list(a.text("prefix"))) {
                    return Map.of("names", all.map(s -> s.lockName()).sorted().toList());
                }
            case "force":
                return Map.of("holders", Failure.asList(c.forceRelease(a.text("name"), a.text("reason"))));
            default:
                throw new IllegalArgumentException("there is no op " + a.op);
        }
    }

    private Map<String, Object> open(Args a) {
        client = DistributedLockClient.builder()
                .endpoints(a.texts("urls").toArray(String[]::new))
                .clientId(a.text("clientId"))
                .token(a.text("token"))
                .webSocket(!a.has("webSocket") || a.flag("webSocket"))
                .build();
        return Map.of("clientId", client.getClientId());
    }

    private Map<String, Object> acquire(DistributedLockClient c, Args a) throws Exception {
        DistributedLock outer = locks.get(a.number("ownerOf"));
        DistributedLock l = outer == null ? get(c, a) : LockOwner.call(outer.getOwnerId(), () -> get(c, a));
        locks.put(a.id, l);
        l.onLost(e -> push("lost", a.id, Failure.of(e)));
        double before = now();
        double left = ms(l.timeLeft());
        Map<String, Object> ok = new TreeMap<>(Map.of(
                "lockId", l.getLockId(),
                "name", l.getName(),
                "clientId", c.getClientId(),
                "ownerId", l.getOwnerId(),
                "requestId", l.getRequestId(),
                "renewalToken", l.getRenewalToken(),
                "fencingToken", l.getFencingToken(),
                "waitedMs", ms(l.getWaited()),
                "autoRenew", l.isAutoRenew(),
                "metadata", l.getMetadata()));
        ok.put("leftMs", left);
        ok.put("endsAt", before + left);
        return ok;
    }

    private DistributedLock get(DistributedLockClient c, Args a) {
        LockOptions o = options(a);
        o = a.op.equals("try") ? o.waitTimeout(Duration.ZERO) : o;
        return c.acquire(a.text("name"), a.millis("ttlMs"), o);
    }

    private LockOptions options(Args a) {
        LockOptions o = LockOptions.defaults()
                .onQueued(p -> push("queued", a.id, Map.of("position", p.position())))
                .autoRenew(a.flag("autoRenew"))
                .maxHold(a.millis("maxHoldMs"));
        o = a.has("waitMs") ? o.waitTimeout(a.millis("waitMs")) : o.waitForever();
        o = a.has("metadata") ? o.metadata(a.object("metadata")) : o;
        o = a.flag("shared") ? o.shared() : o;
        o = a.number("limit") > 0 ? o.limit(a.number("limit")) : o;
        o = a.has("owner") ? o.owner(a.text("owner")) : o;
        return a.has("requestId") ? o.requestId(a.text("requestId")) : o;
    }

    /** Runs the SDK's block for so long, or until it is told to stop. */
    private Map<String, Object> block(DistributedLockClient c, Args a) throws Exception {
        Duration lease = a.has("ttlMs") ? a.millis("ttlMs") : DistributedLockClient.DEFAULT_LEASE;
        boolean finished = c.callWithLock(a.text("name"), lease, options(a), lock -> {
            push("entered", a.id, Map.of("fencingToken", lock.getFencingToken()));
            try {
                Thread.sleep(a.number("holdMs"));
            } finally {
                push("left", a.id, Map.of());
            }
            return true;
        });
        return Map.of("finished", finished);
    }

    private void listen(DistributedLockClient c, Args a) {
        Subscription s = c.subscribe(a.texts("locks"), a.texts("events"), new LockEventListener() {
            @Override
            public void onEvent(LockEvent e) {
                Map<String, Object> line = Failure.asObject(e);
                line.values().removeIf(v -> v == null || List.of().equals(v));
                line.put("kind", e.kind());
                line.remove("event");
                push("event", a.id, line);
            }

            @Override
            public void onEnd(Optional<LockException> cause) {
                push("ended", a.id, cause.map(Failure::of).orElse(Map.of()));
            }
        });
        cancels.put(a.id, s::close);
    }

    static double ms(Duration d) {
        return d.toNanos() / 1e6;
    }
}

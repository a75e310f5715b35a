package distributedlock;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import com.google.gson.JsonObject;
import java.io.IOException;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;

/** What is read in the service's frames. */
class FrameVectorsTest {
    private static final Duration LEASE = Duration.ofSeconds(30);
    private static final LockOptions ONCE =
            LockOptions.defaults().waitTimeout(Duration.ZERO).owner("o-1").requestId("r-1");

    @TestFactory
    Stream<DynamicTest> frames() throws IOException {
        return Vectors.read("frames.json").stream()
                .map(v -> DynamicTest.dynamicTest(v.get("about").getAsString(), () -> check(v)));
    }

    private static void check(JsonObject v) throws Exception {
        String frame = v.get("frame").getAsString();
        JsonObject wanted = v.getAsJsonObject("fields");
        try (FakeNode node = new FakeNode();
                DistributedLockClient c = node.client()) {
            Map<String, Object> told =
                    switch (v.get("is").getAsString()) {
                        case "grant" -> grant(node, c, frame, wanted.get("name").getAsString());
                        case "queued" -> place(node, c, frame, false);
                        case "position" -> place(node, c, frame, true);
                        case "released" -> released(node, c, frame);
                        case "renewed" -> renewed(node, c, frame);
                        case "lost" -> lost(node, c, frame);
                        case "event" -> event(node, c, frame);
                        case "welcome", "draining", "ignored" -> passedOver(
                                node, c, frame, v.get("is").getAsString());
                        default -> fail("what is " + v.get("is"));
                    };
            wanted.entrySet().forEach(f -> {
                if (told.containsKey(f.getKey())) {
                    assertEquals(Vectors.plain(f.getValue()), told.get(f.getKey()), f.getKey());
                }
            });
        }
    }

    private static DistributedLock acquire(FakeNode node, DistributedLockClient c, String grant, String name) {
        node.on("acquire", (peer, f) -> peer.send(FakeNode.retold(grant, f)));
        return c.acquire(name, LEASE, ONCE);
    }

    private static Map<String, Object> grant(FakeNode node, DistributedLockClient c, String frame, String name) {
        DistributedLock l = acquire(node, c, frame, name);
        assertEquals("c-1", c.getClientId());
        return Map.of(
                "lockId", l.getLockId(),
                "name", l.getName(),
                "ownerId", l.getOwnerId(),
                "requestId", l.getRequestId(),
                "fencingToken", (double) l.getFencingToken(),
                "renewalToken", l.getRenewalToken(),
                "waitedMs", l.getWaited().toNanos() / 1e6);
    }

    private static Map<String, Object> place(FakeNode node, DistributedLockClient c, String frame, boolean moves)
            throws InterruptedException {
        BlockingQueue<Place> places = new LinkedBlockingQueue<>();
        String first =
                "{\"type\":\"queued\",\"id\":\"1\",\"lockName\":\"x\",\"requestId\":\"r-1\",\"position\":9,\"holders\":[]}";
        node.on("acquire", (peer, f) -> {
            if (moves) {
                peer.send(FakeNode.retold(first, f));
            }
            peer.send(FakeNode.retold(frame, f));
        });
        var asked = c.acquireAsync("x", LEASE, ONCE.waitForever().onQueued(places::add));
        Place told = places.poll(10, TimeUnit.SECONDS);
        while (moves && told.position() == 9) {
            told = places.poll(10, TimeUnit.SECONDS);
        }
        assertTrue(asked.cancel(true));
        return Map.of("position", (double) told.position(), "holders", Vectors.onWire(told.holders()));
    }

    private static Map<String, Object> released(FakeNode node, DistributedLockClient c, String frame) {
        DistributedLock l = acquire(node, c, FakeNode.GRANT, "x");
        node.on("release", (peer, f) -> peer.send(FakeNode.retold(frame, f)));
        return Map.of("heldForMs", c.release("x", l.getLockId()).toNanos() / 1e6);
    }

    private static Map<String, Object> renewed(FakeNode node, DistributedLockClient c, String frame) {
        DistributedLock l = acquire(node, c, FakeNode.GRANT, "x");
        node.on("renew", (peer, f) -> peer.send(FakeNode.retold(frame, f)));
        Renewal r = c.renew("x", l.getRenewalToken(), Duration.ZERO);
        return Map.of("ttlMs", r.ttl().toNanos() / 1e6, "expiresAt", r.expiresAt(), "fencingToken", (double)
                r.fencingToken());
    }

    private static Map<String, Object> lost(FakeNode node, DistributedLockClient c, String frame)
            throws InterruptedException {
        BlockingQueue<LockLostException> told = new LinkedBlockingQueue<>();
        node.on("acquire", (peer, f) -> {
            peer.send(FakeNode.retold(FakeNode.GRANT, f));
            peer.send(frame);
        });
        DistributedLock l = c.acquire("x", LEASE, ONCE.onLost(told::add));
        LockLostException e = told.poll(10, TimeUnit.SECONDS);
        assertThrows(LockLostException.class, l::ensureHeld);
        assertTrue(l.isLost());
        return Map.of("name", e.getLockName(), "lockId", l.getLockId());
    }

    private static Map<String, Object> event(FakeNode node, DistributedLockClient c, String frame)
            throws InterruptedException {
        BlockingQueue<LockEvent> events = new LinkedBlockingQueue<>();
        node.on("subscribe", (peer, f) -> {
            peer.send(FakeNode.retold("{\"type\":\"subscribed\",\"id\":\"1\",\"subscription\":\"1\"}", f));
            peer.send(frame);
        });
        try (Subscription s = c.subscribe(List.of("*"), List.of(), events::add)) {
            LockEvent e = events.poll(10, TimeUnit.SECONDS);
            Map<String, Object> told = new TreeMap<>();
            told.put("kind", e.kind());
            told.put("lockName", e.lockName());
            told.put("clientId", e.clientId());
            told.put("ownerId", e.ownerId());
            told.put("fencingToken", (double) e.fencingToken());
            told.put("seq", (double) e.seq());
            told.put("at", e.at());
            told.put("reason", e.reason());
            told.put("cycle", Vectors.onWire(e.cycle()));
            told.put("seconds", e.seconds());
            assertInstanceOf(Subscription.class, s);
            return told;
        }
    }

    /** After the frame everything goes on. */
    private static Map<String, Object> passedOver(FakeNode node, DistributedLockClient c, String frame, String is) {
        boolean welcome = is.equals("welcome");
        if (welcome) {
            node.on("hello", (peer, f) -> peer.send(FakeNode.retold(frame, f)));
        }
        node.on("acquire", (peer, f) -> {
            if (!welcome) {
                peer.send(frame);
            }
            peer.send(FakeNode.retold(FakeNode.GRANT, f));
        });
        for (int i = 0; i < 2; i++) {
            DistributedLock l = c.acquire("x", LEASE, ONCE);
            l.ensureHeld();
            l.release();
        }
        assertEquals(1, node.connections());
        return Map.of();
    }
}

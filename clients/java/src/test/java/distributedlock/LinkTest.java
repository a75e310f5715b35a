package distributedlock;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.net.httpserver.HttpServer;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

/** How the connection is kept, with a node that does what real ones do seldom. */
class LinkTest {
    private static final Duration LEASE = Duration.ofSeconds(30);
    private static final LockOptions OPTIONS = LockOptions.defaults().requestId("r-1");

    @Test
    void anAcquireIsAskedAgainUnderItsRequestId() throws Exception {
        try (FakeNode node = new FakeNode();
                DistributedLockClient c = node.client()) {
            BlockingQueue<String> asked = new LinkedBlockingQueue<>();
            node.on("acquire", (peer, f) -> {
                asked.add(f.get("id").getAsString() + " " + f.get("requestId").getAsString());
                if (asked.size() == 1) {
                    peer.close(1001);
                } else {
                    peer.send(FakeNode.retold(FakeNode.GRANT, f));
                }
            });
            c.acquire("x", LEASE, OPTIONS).release();
            assertEquals(2, node.connections());
            String first = asked.remove();
            String second = asked.remove();
            assertTrue(
                    first.endsWith(" r-1") && second.endsWith(" r-1") && !first.equals(second), first + ", " + second);
        }
    }

    @Test
    void anEndRightBehindAFrameIsNoticedAtOnce() throws Exception {
        try (FakeNode node = new FakeNode();
                DistributedLockClient c = node.client()) {
            String queued = "{\"type\":\"queued\",\"id\":\"1\",\"lockName\":\"x\",\"position\":1,\"holders\":[]}";
            AtomicInteger asked = new AtomicInteger();
            node.on("acquire", (peer, f) -> {
                if (asked.incrementAndGet() % 2 == 1) {
                    peer.send(FakeNode.retold(queued, f));
                    peer.cut();
                } else {
                    peer.send(FakeNode.retold(FakeNode.GRANT, f));
                }
            });
            for (int i = 0; i < 20; i++) {
                long begin = System.nanoTime();
                c.acquire("x", LEASE, OPTIONS).release();
                // Silence is noticed after 5 s at the soonest; the pauses between short connections are of 400 ms at
                // most.
                assertTrue(System.nanoTime() - begin < 4_000_000_000L, "an end was noticed late");
            }
            assertEquals(40, asked.get());
        }
    }

    @Test
    void aFrameThatTheNodeRefusesIsNotSentForEver() throws Exception {
        try (FakeNode node = new FakeNode();
                DistributedLockClient c = node.client()) {
            AtomicInteger asked = new AtomicInteger();
            node.on("acquire", (peer, f) -> {
                asked.incrementAndGet();
                peer.close(4400);
            });
            assertThrows(InvalidArgumentException.class, () -> c.acquire("x", LEASE, OPTIONS));
            assertEquals(1, asked.get());
        }
    }

    @Test
    void aSessionThatWentOnElsewhereIsForgotten() throws Exception {
        try (FakeNode node = new FakeNode();
                DistributedLockClient c = node.client()) {
            BlockingQueue<Boolean> sessions = new LinkedBlockingQueue<>();
            node.on("hello", (peer, f) -> {
                sessions.add(f.has("session"));
                peer.send("{\"type\":\"welcome\",\"id\":\"0\",\"session\":\"s\",\"heartbeat\":15,\"node\":\"n\","
                        + "\"resumed\":false,\"time\":\"2026-11-23T08:04:15.000Z\"}");
            });
            AtomicInteger asked = new AtomicInteger();
            node.on("acquire", (peer, f) -> {
                int code = asked.incrementAndGet() == 1 ? 1001 : 1000;
                if (asked.get() < 3) {
                    peer.close(code);
                } else {
                    peer.send(FakeNode.retold(FakeNode.GRANT, f));
                }
            });
            c.acquire("x", LEASE, OPTIONS).release();
            assertEquals(List.of(false, true, false), List.copyOf(sessions));
        }
    }

    @Test
    void aGrantOfACancelledAcquireGoesBack() throws Exception {
        try (FakeNode node = new FakeNode();
                DistributedLockClient c = node.client()) {
            BlockingQueue<String> released = new LinkedBlockingQueue<>();
            CompletableFuture<Void> arrived = new CompletableFuture<>();
            node.on("acquire", (peer, f) -> arrived.complete(null));
            node.on(
                    "cancel",
                    (peer, f) -> peer.send(FakeNode.GRANT.replace(
                            "\"id\":\"1\"", "\"id\":\"" + f.get("target").getAsString() + "\"")));
            node.on("release", (peer, f) -> {
                released.add(f.get("lockId").getAsString());
                peer.send(FakeNode.retold("{\"type\":\"released\",\"id\":\"1\",\"released\":true,\"heldFor\":1}", f));
            });
            CompletableFuture<DistributedLock> waits = c.acquireAsync("x", LEASE, OPTIONS);
            arrived.get(5, TimeUnit.SECONDS);
            assertTrue(waits.cancel(true));
            assertEquals("kR3vT9qLkR3vT9qLkR3vT9qL", released.poll(5, TimeUnit.SECONDS));
        }
    }

    @Test
    void aReleaseThatWasRepeatedIsNoLoss() throws Exception {
        try (FakeNode node = new FakeNode();
                DistributedLockClient c = node.client()) {
            node.on("acquire", (peer, f) -> peer.send(FakeNode.retold(FakeNode.GRANT, f)));
            AtomicInteger asked = new AtomicInteger();
            node.on("release", (peer, f) -> {
                if (asked.incrementAndGet() == 1) {
                    peer.close(1001);
                } else {
                    peer.send("{\"type\":\"error\",\"id\":\"" + f.get("id").getAsString()
                            + "\",\"code\":\"lock_lost\",\"status\":410,\"title\":\"t\",\"detail\":\"d\"}");
                }
            });
            DistributedLock lock = c.acquire("x", LEASE, OPTIONS);
            lock.release();
            assertEquals(2, asked.get());
        }
    }

    @Test
    void aRefusedTokenEndsAllCallsAtOnceWithWhatTheServiceSays() throws Exception {
        HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        byte[] body = "{\"code\":\"unauthorized\",\"status\":401,\"title\":\"t\",\"detail\":\"Who are you?\"}"
                .getBytes(StandardCharsets.UTF_8);
        server.createContext("/base/", exchange -> {
            exchange.getResponseHeaders().set("WWW-Authenticate", "Bearer");
            exchange.sendResponseHeaders(401, body.length);
            exchange.getResponseBody().write(body);
            exchange.close();
        });
        server.start();
        String url = "http://127.0.0.1:" + server.getAddress().getPort() + "/base/";
        try (DistributedLockClient c = new DistributedLockClient(url)) {
            UnauthorizedException e = assertThrows(UnauthorizedException.class, () -> c.acquire("x", 30));
            assertEquals("Who are you?", e.getDetail());
            assertThrows(UnauthorizedException.class, () -> c.status("x"));
        } finally {
            server.stop(0);
        }
    }

    @Test
    void nobodyThereIsToldInTime() {
        try (DistributedLockClient c = DistributedLockClient.builder()
                .endpoints("http://127.0.0.1:1", "http://127.0.0.1:2")
                .build()) {
            LockServiceUnavailableException e = assertThrows(
                    LockServiceUnavailableException.class,
                    () -> c.acquire("x", LEASE, LockOptions.defaults().waitTimeout(Duration.ZERO)));
            assertTrue(e.getCause() != null, "the last cause is told");
            assertThrows(LockServiceUnavailableException.class, () -> c.status("x"));
        }
    }
}

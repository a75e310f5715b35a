package distributedlock;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

/** What is asked beside acquiring, and the events. */
class CallsTest {
    private static final Duration LEASE = Duration.ofSeconds(30);

    @Test
    void locksAreLooked() {
        String name = Service.name() + "/ Größe+%";
        try (DistributedLockClient c = Service.client();
                DistributedLock lock =
                        c.acquire(name, LEASE, LockOptions.defaults().limit(2))) {
            LockStatus s = c.status(name);
            assertEquals(name, s.lockName());
            assertEquals(2, s.limit());
            assertEquals(lock.getFencingToken(), s.holders().get(0).fencingToken());
            try (var all = c.list(name)) {
                assertEquals(List.of(name), all.map(LockStatus::lockName).toList());
            }
            assertTrue(c.stats().activeLocks() >= 0);
            assertFalse(c.stats().nodes().isEmpty());
            assertTrue(c.graphDot().startsWith("digraph"), c.graphDot());
            assertEquals("ok", c.health().status());
        }
    }

    @Test
    void theGraphSaysWhoWaitsForWhom() throws Exception {
        String name = Service.name();
        try (DistributedLockClient c = Service.client();
                DistributedLock lock = c.acquire(name, 30)) {
            var waits = c.acquireAsync(name, LEASE, LockOptions.defaults().owner("waiter"));
            Service.queued(c, name, 1);
            LockGraph.Edge edge = c.graph().edges().stream()
                    .filter(e -> e.lockName().equals(name))
                    .findFirst()
                    .orElseThrow();
            assertEquals("waiter", edge.waiter());
            assertEquals(lock.getOwnerId(), edge.holder());
            assertTrue(waits.cancel(true));
        }
    }

    @Test
    void aListingGoesOnPastItsFirstPage() {
        String prefix = Service.name() + "/";
        LockOptions once = LockOptions.defaults();
        try (DistributedLockClient c = Service.client()) {
            List<CompletableFuture<DistributedLock>> asked = new ArrayList<>();
            for (int i = 0; i < 1_050; i++) { // a page has a thousand
                asked.add(c.acquireAsync(prefix + i, LEASE, once));
            }
            asked.forEach(CompletableFuture::join);
            Set<String> names = new HashSet<>();
            try (var all = c.list(prefix)) {
                all.forEach(s -> assertTrue(names.add(s.lockName())));
            }
            assertEquals(1_050, names.size());
        }
    }

    @Test
    void grantsAreReleasedAndRenewedByTheirIds() {
        String name = Service.name();
        try (DistributedLockClient c = Service.client();
                DistributedLockClient other = Service.client()) {
            DistributedLock lock = c.acquire(name, 30);
            assertThrows(NotOwnerException.class, () -> other.release(name, lock.getLockId()));
            Renewal r = c.renew(name, lock.getRenewalToken(), Duration.ofSeconds(60));
            assertEquals(lock.getFencingToken(), r.fencingToken());
            assertTrue(r.ttl().toSeconds() >= 59);
            lock.renew(Duration.ofSeconds(90));
            assertTrue(lock.timeLeft().toSeconds() >= 89);
            assertTrue(c.release(name, lock.getLockId()).toNanos() > 0);
            assertThrows(LockLostException.class, () -> c.release(name, lock.getLockId()));
            assertThrows(LockLostException.class, () -> other.renew(name, lock.getRenewalToken(), Duration.ZERO));
        }
    }

    @Test
    void anAdminsCallsNeedAnAdmin() {
        String name = Service.name();
        try (DistributedLockClient c = Service.client();
                DistributedLockClient admin = Service.admin()) {
            assertThrows(NotLockedException.class, () -> admin.forceRelease(name, "test"));
            DistributedLock lock = c.acquire(name, 30);
            LockException refused = assertThrows(LockException.class, () -> c.forceRelease(name, "test"));
            assertTrue(refused instanceof UnauthorizedException || refused instanceof ForbiddenException);
            assertEquals(
                    lock.getFencingToken(),
                    admin.forceRelease(name, "test").get(0).fencingToken());
            try (DistributedLockClient wrong = DistributedLockClient.builder()
                    .endpoints(Service.url())
                    .token("wrong")
                    .build()) {
                UnauthorizedException e =
                        assertThrows(UnauthorizedException.class, () -> wrong.forceRelease(name, "test"));
                assertEquals(401, e.getStatus());
                assertFalse(e.getDetail().isEmpty());
            }
        }
    }

    @Test
    void eventsAreToldInTheirOrder() throws Exception {
        String name = Service.name();
        BlockingQueue<LockEvent> events = new LinkedBlockingQueue<>();
        BlockingQueue<Optional<LockException>> ends = new LinkedBlockingQueue<>();
        LockEventListener listener = new LockEventListener() {
            @Override
            public void onEvent(LockEvent e) {
                events.add(e);
                throw new IllegalStateException("a listener that fails is told the next all the same");
            }

            @Override
            public void onEnd(Optional<LockException> cause) {
                ends.add(cause);
            }
        };
        try (DistributedLockClient c = Service.client()) {
            Subscription s = c.subscribe(List.of(name), List.of("granted", "released"), listener);
            while (events.isEmpty()) { // until the service knows of the subscription
                c.acquire(name, 30).release();
            }
            c.acquire(name, 30).release();
            Service.eventually("two events", () -> events.size() >= 2);
            assertEquals(
                    "granted",
                    events.poll().kind().equals("granted")
                            ? "granted"
                            : events.poll().kind());
            s.close();
            s.close();
            assertTrue(ends.poll(5, TimeUnit.SECONDS).isEmpty());
            c.subscribe(List.of(name), List.of(), listener);
        }
        assertTrue(ends.poll(5, TimeUnit.SECONDS).orElseThrow() instanceof ClientClosedException);
        assertTrue(ends.isEmpty());
    }
}

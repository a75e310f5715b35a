package distributedlock;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.Test;

/** Waits in line: how they end, and whose they are. */
class WaitingTest {
    private static final Duration LEASE = Duration.ofSeconds(30);
    private static final LockOptions FOREVER = LockOptions.defaults().waitForever();

    @Test
    void anInterruptLeavesTheLineAndStands() throws Exception {
        interrupted(true);
    }

    @Test
    void anInterruptLeavesTheLineOverRestToo() throws Exception {
        interrupted(false);
    }

    private static void interrupted(boolean webSocket) throws Exception {
        String name = Service.name();
        try (DistributedLockClient c = DistributedLockClient.builder()
                        .endpoints(Service.url())
                        .webSocket(webSocket)
                        .build();
                DistributedLock held = c.acquire(name, 30)) {
            FutureTask<Boolean> wait = new FutureTask<>(() -> {
                assertThrows(LockInterruptedException.class, () -> c.acquire(name, LEASE, FOREVER));
                return Thread.currentThread().isInterrupted();
            });
            Thread t = new Thread(wait);
            t.start();
            Service.queued(c, name, 1);
            t.interrupt();
            assertTrue(wait.get(5, TimeUnit.SECONDS));
            Service.queued(c, name, 0);
            assertTrue(held.isHeld());
        }
    }

    @Test
    void aCancelledFutureLeavesTheLine() throws Exception {
        String name = Service.name();
        try (DistributedLockClient c = Service.client()) {
            DistributedLock held = c.acquire(name, 30);
            CompletableFuture<DistributedLock> first = c.acquireAsync(name, LEASE, FOREVER);
            CompletableFuture<DistributedLock> second = c.acquireAsync(name, LEASE, FOREVER);
            Service.queued(c, name, 2);
            assertTrue(first.cancel(true));
            Service.queued(c, name, 1);
            held.release();
            second.get(5, TimeUnit.SECONDS).release();
            Service.free(c, name);
        }
    }

    @Test
    void whatCrossesACancelGoesBack() throws Exception {
        try (DistributedLockClient c = Service.client()) {
            for (int i = 0; i < 100; i++) {
                String name = Service.name();
                CompletableFuture<DistributedLock> asked = c.acquireAsync(name, LEASE, FOREVER);
                LockSupport.parkNanos(i * 20_000L); // so that some grants come before, some after
                if (!asked.cancel(true)) {
                    asked.get().release();
                }
                Service.free(c, name);
            }
        }
    }

    @Test
    void threadsWhoseWaitsEndInACircleAreTold() throws Exception {
        String a = Service.name();
        String b = Service.name();
        try (DistributedLockClient c = Service.client();
                DistributedLock mine = c.acquire(a, 30)) {
            FutureTask<String> other = new FutureTask<>(() -> {
                try (DistributedLock theirs = c.acquire(b, 30);
                        DistributedLock both = c.acquire(a, 30)) {
                    assertTrue(theirs.isHeld());
                    return both.getName();
                }
            });
            new Thread(other).start();
            Service.queued(c, a, 1);
            DeadlockException e = assertThrows(DeadlockException.class, () -> c.acquire(b, 30));
            assertEquals(2, e.getCycle().size());
            assertEquals(
                    mine.getOwnerId(),
                    e.getCycle().stream()
                            .filter(s -> s.holds().equals(a))
                            .findFirst()
                            .orElseThrow()
                            .ownerId());
            mine.release();
            assertEquals(a, other.get(5, TimeUnit.SECONDS));
        }
    }

    @Test
    void aThreadIsAnOwner() throws Exception {
        String name = Service.name();
        try (DistributedLockClient c = Service.client();
                DistributedLock held = c.acquire(name, 30)) {
            assertEquals(LockOwner.current(), held.getOwnerId());
            DeadlockException e = assertThrows(DeadlockException.class, () -> c.acquire(name, 30));
            assertEquals(name, e.getCycle().get(0).waitsFor());
            LockOwner.run("task-7", () -> assertEquals("task-7", LockOwner.current()));
            String inside = LockOwner.call("task-7", () -> {
                try (DistributedLock l = c.acquire(Service.name(), 30)) {
                    return l.getOwnerId();
                }
            });
            assertEquals("task-7", inside);
            assertEquals(LockOwner.current(), held.getOwnerId());
            FutureTask<String> another = new FutureTask<>(LockOwner::current);
            new Thread(another).start();
            assertFalse(another.get().equals(held.getOwnerId()));
        }
    }

    @Test
    void whoLostALockMayAskForItAgainAtOnce() throws Exception {
        String name = Service.name();
        try (DistributedLockClient c = Service.client()) {
            DistributedLock late = c.acquire(name, 5);
            while (late.isHeld()) {
                LockSupport.parkNanos(1_000_000);
            }
            assertEquals(late.getFencingToken(), c.status(name).fencingToken(), "the lease lives on for a little");
            try (DistributedLock next = c.acquire(name, 30)) {
                assertTrue(next.getFencingToken() > late.getFencingToken());
                assertThrows(DeadlockException.class, () -> c.acquire(name, 30));
            }
        }
    }

    @Test
    void whoDoesNotWaitIsToldWhoIsInTheWay() throws Exception {
        String name = Service.name();
        try (DistributedLockClient c = Service.client();
                DistributedLock held =
                        c.acquire(name, LEASE, LockOptions.defaults().metadata(Map.of("job", "nightly")))) {
            assertTrue(
                    c.tryAcquire(name, LEASE, LockOptions.defaults().owner("o")).isEmpty());
            LockHeldException e = assertThrows(
                    LockHeldException.class,
                    () -> c.acquire(
                            name, LEASE, LockOptions.defaults().owner("o").waitTimeout(Duration.ZERO)));
            assertEquals("lock_held", e.getCode());
            assertEquals(409, e.getStatus());
            assertEquals(name, e.getLockName());
            assertEquals(0, e.getQueueLength());
            Holder h = e.getHolders().get(0);
            assertEquals(c.getClientId(), h.clientId());
            assertEquals(held.getFencingToken(), h.fencingToken());
            assertEquals(Map.of("job", "nightly"), h.metadata());
            assertTrue(e.getMessage().contains(name) && e.getMessage().contains(c.getClientId()), e.getMessage());

            LockTimeoutException late = assertThrows(
                    LockTimeoutException.class,
                    () -> c.acquire(
                            name, LEASE, LockOptions.defaults().owner("o").waitTimeout(Duration.ofMillis(300))));
            assertEquals("wait_timeout", late.getCode());
            assertTrue(late.getWaitTime().toMillis() >= 290, late.getWaitTime().toString());
            assertEquals(1, late.getHolders().size());
        }
    }

    @Test
    void whatIsWrongIsToldByField() {
        try (DistributedLockClient c = Service.client()) {
            InvalidArgumentException e =
                    assertThrows(InvalidArgumentException.class, () -> c.acquire(Service.name(), 3600));
            assertEquals("timeout", e.getFields().get(0).field());
            assertThrows(InvalidArgumentException.class, () -> c.acquire("..", 30));
            assertThrows(InvalidArgumentException.class, () -> c.status(""));
        }
        assertThrows(InvalidArgumentException.class, () -> new DistributedLockClient("ftp://localhost"));
        assertThrows(
                InvalidArgumentException.class,
                () -> DistributedLockClient.builder().build().close());
    }

    @Test
    void thePlaceInLineIsTold() throws Exception {
        String name = Service.name();
        try (DistributedLockClient c = Service.client()) {
            DistributedLock held = c.acquire(name, 30);
            BlockingQueue<Place> places = new LinkedBlockingQueue<>();
            CompletableFuture<DistributedLock> waits = c.acquireAsync(name, LEASE, FOREVER.onQueued(places::add));
            Place p = places.poll(5, TimeUnit.SECONDS);
            assertEquals(1, p.position());
            assertEquals(held.getFencingToken(), p.holders().get(0).fencingToken());
            held.release();
            DistributedLock l = waits.get(5, TimeUnit.SECONDS);
            assertTrue(l.getWaited().toNanos() > 0);
            l.release();
        }
    }

    @Test
    void closingEndsWaitsAndGivesBack() throws Exception {
        String held = Service.name();
        String taken = Service.name();
        try (DistributedLockClient judge = Service.client();
                DistributedLock other = judge.acquire(taken, 30)) {
            DistributedLockClient c = Service.client();
            DistributedLock mine = c.acquire(held, 30);
            CompletableFuture<DistributedLock> waits = c.acquireAsync(taken, LEASE, FOREVER);
            Service.queued(judge, taken, 1);
            c.close();
            c.close();
            assertInstanceOf(
                    ClientClosedException.class,
                    assertThrows(ExecutionException.class, waits::get).getCause());
            assertFalse(judge.status(held).locked());
            Service.queued(judge, taken, 0);
            assertFalse(mine.isHeld());
            mine.release();
            assertThrows(ClientClosedException.class, () -> c.acquire(held, 30));
            assertThrows(ClientClosedException.class, () -> c.status(held));
            assertTrue(other.isHeld());
        }
    }
}

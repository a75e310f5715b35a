package distributedlock;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.time.Duration;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Test;

/** try-with-resources and withLock: on success, on failure, on loss. */
class BlockTest {
    private static final Duration LEASE = Duration.ofSeconds(30);

    @Test
    void aBlockHoldsTheLockAndGivesItBack() throws Exception {
        String name = Service.name();
        try (DistributedLockClient c = Service.client()) {
            DistributedLock kept;
            try (DistributedLock lock = c.acquire(name, 30)) {
                kept = lock;
                assertTrue(lock.isHeld());
                assertTrue(lock.timeLeft().compareTo(Duration.ofSeconds(25)) > 0);
                assertEquals(lock.getFencingToken(), c.status(name).fencingToken());
                assertTrue(c.tryAcquire(name, LEASE, LockOptions.defaults().owner("other"))
                        .isEmpty());
                assertFalse(lock.toString().contains(lock.getLockId()), "a secret in a text");
            }
            assertFalse(c.status(name).locked());
            assertFalse(kept.isHeld());
            assertFalse(kept.isLost());
            assertThrows(LockReleasedException.class, kept::ensureHeld);
            assertThrows(LockReleasedException.class, kept::renew);
            kept.release(); // again: nothing
            kept.close();
        }
    }

    @Test
    void aBlockThatThrowsGivesTheLockBack() throws Exception {
        String name = Service.name();
        try (DistributedLockClient c = Service.client()) {
            IOException broken = new IOException("broken");
            IOException told = assertThrows(IOException.class, () -> {
                try (DistributedLock lock = c.acquire(name, 30)) {
                    assertTrue(lock.isHeld());
                    throw broken;
                }
            });
            assertSame(broken, told);
            assertEquals(0, told.getSuppressed().length);
            told = assertThrows(
                    IOException.class,
                    () -> c.withLock(name, lock -> {
                        throw broken;
                    }));
            assertSame(broken, told);
            Service.free(c, name);
        }
    }

    @Test
    void aBlockThatLostItsLockSaysSo() throws Exception {
        String name = Service.name();
        try (DistributedLockClient c = Service.admin()) {
            LockLostException e = assertThrows(LockLostException.class, () -> {
                try (DistributedLock lock = c.acquire(name, 30)) {
                    CountDownLatch lost = new CountDownLatch(1);
                    lock.onLost(why -> lost.countDown());
                    c.forceRelease(name, "test");
                    lost.await();
                    assertTrue(lock.isLost());
                }
            });
            assertEquals(name, e.getLockName());
            assertEquals("lock_lost", e.getCode());
            assertTrue(e.getMessage().contains("an admin took it"), e.getMessage());

            IllegalStateException broken = assertThrows(IllegalStateException.class, () -> {
                try (DistributedLock lock = c.acquire(name, 30)) {
                    c.forceRelease(name, "test");
                    Service.eventually("lost", lock::isLost);
                    throw new IllegalStateException("of the body");
                }
            });
            assertInstanceOf(LockLostException.class, broken.getSuppressed()[0]);
        }
    }

    @Test
    void workIsInterruptedWhenTheLockIsLost() throws Exception {
        String name = Service.name();
        try (DistributedLockClient c = Service.admin()) {
            LockLostException e = assertThrows(
                    LockLostException.class,
                    () -> c.withLock(name, lock -> {
                        forced(c, name);
                        Thread.sleep(60_000);
                    }));
            assertInstanceOf(InterruptedException.class, e.getCause());
            assertFalse(Thread.currentThread().isInterrupted());

            // Where the body does not look at the interrupt, it is gone with the body all the same.
            assertThrows(
                    LockLostException.class,
                    () -> c.withLock(name, lock -> {
                        forced(c, name);
                        while (lock.isHeld()) {
                            Thread.onSpinWait();
                        }
                        while (!Thread.currentThread().isInterrupted()) {
                            Thread.onSpinWait();
                        }
                    }));
            assertFalse(Thread.currentThread().isInterrupted());
        }
    }

    /** By another thread: this one is to be interrupted. */
    private static void forced(DistributedLockClient admin, String name) {
        new Thread(() -> admin.forceRelease(name, "test")).start();
    }

    @Test
    void anInterruptOfTheBodysOwnIsLeftToIt() {
        String name = Service.name();
        try (DistributedLockClient c = Service.client()) {
            c.withLock(name, lock -> Thread.currentThread().interrupt());
            assertTrue(Thread.interrupted());
            assertFalse(c.status(name).locked());
        }
    }

    @Test
    void workIsRenewedAndReturnsItsResult() throws Exception {
        String name = Service.name();
        try (DistributedLockClient c = Service.client()) {
            AtomicReference<DistributedLock> inside = new AtomicReference<>();
            long token = c.callWithLock(name, Duration.ofSeconds(1), LockOptions.defaults(), lock -> {
                inside.set(lock);
                Thread.sleep(1_600); // longer than the lease
                return lock.getFencingToken();
            });
            assertEquals(inside.get().getFencingToken(), token);
            assertFalse(inside.get().isLost());
        }
    }

    @Test
    void aListenerThatBlocksKeepsNoOtherWaiting() throws Exception {
        String one = Service.name();
        String two = Service.name();
        try (DistributedLockClient c = Service.admin()) {
            CountDownLatch stuck = new CountDownLatch(1);
            CountDownLatch entered = new CountDownLatch(1);
            CountDownLatch told = new CountDownLatch(1);
            DistributedLock first = c.acquire(one, 30);
            first.onLost(why -> {
                entered.countDown();
                try {
                    stuck.await();
                } catch (InterruptedException e) {
                    Thread.currentThread().interrupt();
                }
            });
            DistributedLock second = c.acquire(two, 30);
            second.onLost(why -> told.countDown());
            c.forceRelease(one, "test");
            assertTrue(entered.await(5, TimeUnit.SECONDS));
            c.forceRelease(two, "test");
            assertTrue(told.await(5, TimeUnit.SECONDS));
            stuck.countDown();
        }
    }

    @Test
    void aLeaseThatRunsOutIsToldBeforeItsEnd() throws Exception {
        String name = Service.name();
        try (DistributedLockClient c = Service.client()) {
            CountDownLatch lost = new CountDownLatch(1);
            AtomicReference<Duration> left = new AtomicReference<>();
            AtomicReference<DistributedLock> lock = new AtomicReference<>();
            lock.set(c.acquire(
                    name, Duration.ofSeconds(3), LockOptions.defaults().onLost(why -> {
                        left.set(lock.get().timeLeft());
                        lost.countDown();
                    })));
            lost.await();
            assertTrue(left.get().toNanos() > 0, "told after the lease's end");
            assertThrows(LockLostException.class, lock.get()::release);
            assertThrows(LockLostException.class, lock.get()::close);
        }
    }
}

package distributedlock;

import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.fail;

import java.util.concurrent.atomic.AtomicLong;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.Assumptions;

/** The service that tests run against: a real one, at LOCKD_URL. */
final class Service {
    private static final AtomicLong NAMES = new AtomicLong(System.nanoTime());

    private Service() {}

    static String url() {
        String url = System.getenv("LOCKD_URL");
        if ("true".equals(System.getenv("CI"))) {
            assertNotNull(url, "LOCKD_URL is not set");
        }
        Assumptions.assumeTrue(url != null, "SKIPPED, no service to test with: LOCKD_URL is not set");
        return url;
    }

    static DistributedLockClient client() {
        return new DistributedLockClient(url());
    }

    static DistributedLockClient admin() {
        return DistributedLockClient.builder()
                .endpoints(url())
                .token(System.getenv("LOCKD_ADMIN_TOKEN"))
                .build();
    }

    /** A lock's name that no other test uses. */
    static String name() {
        return "java-test-" + NAMES.incrementAndGet();
    }

    /** Looks again and again until something is so. */
    static void eventually(String what, BooleanSupplier is) throws InterruptedException {
        long end = System.nanoTime() + 10_000_000_000L;
        while (!is.getAsBoolean()) {
            if (System.nanoTime() > end) {
                fail("not within 10 s: " + what);
            }
            Thread.sleep(2);
        }
    }

    static void queued(DistributedLockClient c, String name, int n) throws InterruptedException {
        eventually(n + " in line", () -> c.status(name).queueLength() == n);
    }

    static void free(DistributedLockClient c, String name) throws InterruptedException {
        eventually(name + " free", () -> {
            LockStatus s = c.status(name);
            return !s.locked() && s.queueLength() == 0;
        });
    }
}

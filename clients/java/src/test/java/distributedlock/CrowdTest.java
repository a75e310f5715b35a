package distributedlock;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.parallel.Isolated;

/** Five hundred threads through one client, and what they leave behind. */
@Isolated
class CrowdTest {
    private static final int THREADS = 500;

    @Test
    void nothingLeaks() throws Exception {
        String prefix = Service.name() + "/";
        crowd(prefix, 5); // what the JDK keeps for ever is there now
        Service.eventually("the threads of other tests end", () -> own() == 0);
        long sockets = sockets();
        crowd(prefix, THREADS);
        Service.eventually("no thread of the client is left", () -> own() == 0);
        Service.eventually("no socket is left", () -> sockets() <= sockets);
        try (DistributedLockClient c = Service.client();
                Stream<LockStatus> left = c.list(prefix)) {
            assertEquals(List.of(), left.map(LockStatus::lockName).toList());
        }
    }

    /** All contend for a few locks, and each has a lock of its own as well. */
    private static void crowd(String prefix, int threads) throws Exception {
        AtomicInteger inside = new AtomicInteger();
        try (DistributedLockClient c = Service.client()) {
            List<FutureTask<Void>> tasks = new ArrayList<>();
            for (int i = 0; i < threads; i++) {
                int n = i;
                tasks.add(new FutureTask<>(() -> {
                    try (DistributedLock own = c.acquire(prefix + n, 60)) {
                        c.withLock(
                                prefix + "shared",
                                Duration.ofSeconds(60),
                                LockOptions.defaults().waitForever(),
                                l -> {
                                    assertEquals(1, inside.incrementAndGet());
                                    inside.decrementAndGet();
                                });
                        assertTrue(own.isHeld());
                    }
                    return null;
                }));
            }
            tasks.forEach(t -> new Thread(t).start());
            for (FutureTask<Void> t : tasks) {
                t.get(40, TimeUnit.SECONDS);
            }
        }
    }

    /** The threads of clients, the JDK's HTTP client's among them, which end after the garbage collector came. */
    private static long own() {
        System.gc();
        return Thread.getAllStackTraces().keySet().stream()
                .filter(t ->
                        t.getName().startsWith("distributedlock") || t.getName().startsWith("HttpClient"))
                .count();
    }

    private static long sockets() {
        try (Stream<Path> fds = Files.list(Path.of("/proc/self/fd"))) {
            return fds.filter(fd ->
                            target(fd).filter(t -> t.startsWith("socket:")).isPresent())
                    .count();
        } catch (IOException e) {
            return 0; // a system that does not tell
        }
    }

    private static Optional<String> target(Path fd) {
        try {
            return Optional.of(Files.readSymbolicLink(fd).toString());
        } catch (IOException closed) {
            return Optional.empty();
        }
    }
}

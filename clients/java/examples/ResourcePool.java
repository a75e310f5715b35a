import distributedlock.DistributedLock;
import distributedlock.DistributedLockClient;
import distributedlock.LockOptions;
import distributedlock.LockTimeoutException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;

/** At most five use the database at once; who gets no connection within 5 s is told so. */
public final class ResourcePool {
    private static final LockOptions PERMIT = LockOptions.defaults().limit(5).waitTimeout(Duration.ofSeconds(5));

    private ResourcePool() {}

    public static void main(String[] args) throws InterruptedException {
        String url = args.length > 0 ? args[0] : "http://localhost:5000";
        AtomicInteger now = new AtomicInteger();
        AtomicInteger most = new AtomicInteger();
        try (DistributedLockClient client = new DistributedLockClient(url)) {
            List<Thread> threads = new ArrayList<>();
            for (int i = 0; i < 20; i++) {
                threads.add(new Thread(() -> query(client, now, most)));
            }
            threads.forEach(Thread::start);
            for (Thread t : threads) {
                t.join();
            }
        }
        System.out.println(most.get() <= 5 ? "never more than five at once" : "more than five at once");
    }

    private static void query(DistributedLockClient client, AtomicInteger now, AtomicInteger most) {
        try (DistributedLock permit = client.acquire("db-pool", Duration.ofSeconds(30), PERMIT)) {
            most.accumulateAndGet(now.incrementAndGet(), Math::max);
            permit.ensureHeld(); // use a connection
            now.decrementAndGet();
        } catch (LockTimeoutException e) {
            System.out.println("the pool is exhausted: " + e.getMessage());
        }
    }
}

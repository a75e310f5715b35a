import distributedlock.DistributedLockClient;
import distributedlock.LockLostException;
import distributedlock.LockOptions;
import java.time.Duration;

/** Work that is interrupted when its lock is lost: before the lease ends, so that nobody else has the lock by then. */
public final class StopOnLoss {
    private StopOnLoss() {}

    public static void main(String[] args) throws InterruptedException {
        String url = args.length > 0 ? args[0] : "http://localhost:5000";
        LockOptions brief = LockOptions.defaults().maxHold(Duration.ofMillis(1)); // so that the lease runs out
        try (DistributedLockClient client = new DistributedLockClient(url)) {
            client.withLock("batch", Duration.ofSeconds(1), brief, lock -> {
                while (true) {
                    lock.ensureHeld(); // before each step that must not be done without the lock
                    Thread.sleep(50); // the step; the interrupt ends it
                }
            });
        } catch (LockLostException e) {
            System.out.println("stopped: " + e.getMessage());
        }
    }
}

import distributedlock.DistributedLock;
import distributedlock.DistributedLockClient;
import java.time.Duration;

/** A fencing token lets what is protected refuse a holder who is late: one who slept past the end of the lease. */
public final class FencingGuard {
    private long highest; // kept beside the data, compared in the same transaction

    private FencingGuard() {}

    private synchronized void write(long token, String what) {
        if (token < highest) {
            System.out.println("refused: " + what);
            return;
        }
        highest = token;
        System.out.println("written: " + what);
    }

    public static void main(String[] args) throws InterruptedException {
        String url = args.length > 0 ? args[0] : "http://localhost:5000";
        FencingGuard file = new FencingGuard();
        try (DistributedLockClient client = new DistributedLockClient(url)) {
            DistributedLock late = client.acquire("file", Duration.ofSeconds(1));
            while (late.isHeld()) { // its lease runs out while it does something else
                Thread.sleep(10);
            }
            try (DistributedLock next = client.acquire("file", 30)) {
                file.write(next.getFencingToken(), "by the next");
                file.write(late.getFencingToken(), "by the late one");
            }
        }
    }
}

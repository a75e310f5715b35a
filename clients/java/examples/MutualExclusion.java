import distributedlock.DistributedLockClient;
import java.util.ArrayList;
import java.util.List;

/** However many ask, one at a time works on a user. */
public final class MutualExclusion {
    private static int worked; // nothing guards it: the lock does

    private MutualExclusion() {}

    public static void main(String[] args) throws InterruptedException {
        String url = args.length > 0 ? args[0] : "http://localhost:5000";
        int workers = 20;
        try (DistributedLockClient client = new DistributedLockClient(url)) {
            List<Thread> threads = new ArrayList<>();
            for (int i = 0; i < workers; i++) {
                threads.add(new Thread(() -> client.withLock("user:42", lock -> {
                    int before = worked;
                    worked = before + 1;
                })));
            }
            threads.forEach(Thread::start);
            for (Thread t : threads) {
                t.join();
            }
        }
        System.out.println(worked + " of " + workers + " worked, one at a time");
    }
}

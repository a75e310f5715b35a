import distributedlock.DistributedLock;
import distributedlock.DistributedLockClient;
import distributedlock.LockHeldException;
import distributedlock.LockOptions;
import java.time.Duration;

/**
 * One instance leads for as long as it lives and can be heard. The others follow, and the one that has waited longest takes
 * over when it goes.
 */
public final class LeaderElection {
    private static final Duration LEASE = Duration.ofSeconds(10);
    private static final LockOptions RENEWED = LockOptions.defaults().autoRenew();

    private LeaderElection() {}

    public static void main(String[] args) throws InterruptedException {
        String url = args.length > 0 ? args[0] : "http://localhost:5000";
        try (DistributedLockClient one = client(url, "node-1");
                DistributedLockClient two = client(url, "node-2")) {
            DistributedLock leadership = campaign(one);
            Thread follower = new Thread(() -> campaign(two).release());
            follower.start();
            while (one.status("leader").queueLength() == 0) { // until node-2 stands in line
                Thread.sleep(10);
            }
            leadership.release();
            follower.join();
        }
    }

    private static DistributedLockClient client(String url, String id) {
        return DistributedLockClient.builder().endpoints(url).clientId(id).build();
    }

    /** Leads at once, or waits for its turn: nobody polls. */
    private static DistributedLock campaign(DistributedLockClient client) {
        DistributedLock leadership;
        try {
            leadership = client.acquire("leader", LEASE, RENEWED.waitTimeout(Duration.ZERO));
        } catch (LockHeldException e) {
            String leader = e.getHolders().get(0).clientId();
            System.out.println(client.getClientId() + " follows " + leader);
            leadership = client.acquire("leader", LEASE, RENEWED.waitForever());
        }
        leadership.onLost(why -> System.out.println(client.getClientId() + " leads no more: " + why.getMessage()));
        System.out.println(client.getClientId() + " leads");
        return leadership;
    }
}

package distributedlock;

/** What {@link DistributedLockClient#subscribe} began. It lives until it or its client is closed, or the service refuses it. */
public final class Subscription implements AutoCloseable {
    private final Subscriber subscriber;

    Subscription(Subscriber subscriber) {
        this.subscriber = subscriber;
    }

    /** Ends it, after the event that is being told. It is idempotent. */
    @Override
    public void close() {
        subscriber.close();
    }
}

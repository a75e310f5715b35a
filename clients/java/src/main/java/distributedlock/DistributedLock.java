package distributedlock;

import java.lang.System.Logger.Level;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.function.Consumer;

/**
 * A lock that was granted. Closing it gives it back. It is safe for use by many threads.
 *
 * <p>It is held until it is released or lost. It counts as lost a little before its lease ends: a tenth of the lease, at
 * least 10 ms and at most 500 ms, by this machine's monotonic clock.
 */
public final class DistributedLock implements AutoCloseable {
    private final Core core;
    private final Hold hold;

    DistributedLock(Core core, Hold hold) {
        this.core = core;
        this.hold = hold;
    }

    /**
     * What the grant is released by: a secret.
     *
     * @return the id
     */
    public String getLockId() {
        return hold.lockId;
    }

    /**
     * The lock's name.
     *
     * @return the name
     */
    public String getName() {
        return hold.request.name;
    }

    /**
     * The grant's token, which rises with every grant of the lock. Give it to what the lock protects, which refuses lower
     * ones.
     *
     * @return the token, above 0 and below 2<sup>53</sup>
     */
    public long getFencingToken() {
        return hold.fencingToken;
    }

    /**
     * Who holds it, to the service.
     *
     * @return the owner; what is acquired inside of {@link LockOwner#run} with it is the same owner's
     */
    public String getOwnerId() {
        return hold.request.owner;
    }

    /**
     * What the grant is renewed by: a secret.
     *
     * @return the token
     */
    public String getRenewalToken() {
        return hold.renewalToken;
    }

    /**
     * The request that was granted.
     *
     * @return its id
     */
    public String getRequestId() {
        return hold.request.id;
    }

    /**
     * How long the request stood in line.
     *
     * @return the time; zero where it did not wait
     */
    public Duration getWaited() {
        return hold.waited;
    }

    /**
     * Whether the client renews it.
     *
     * @return whether it does
     */
    public boolean isAutoRenew() {
        return hold.request.autoRenew;
    }

    /**
     * What was said about it as it was acquired.
     *
     * @return the metadata; empty where nothing was said
     */
    public Map<String, Object> getMetadata() {
        return hold.request.metadata == null ? Map.of() : hold.request.metadata;
    }

    /**
     * Whether it is held.
     *
     * @return false from its release or its loss on
     */
    public boolean isHeld() {
        return hold.isHeld();
    }

    /**
     * Whether it was lost.
     *
     * @return whether it was, before it was released
     */
    public boolean isLost() {
        return hold.isLost();
    }

    /**
     * Goes on only while the lock is held.
     *
     * @throws LockLostException where it was lost, with the reason
     * @throws LockReleasedException where it was released
     */
    public void ensureHeld() {
        LockException gone = hold.gone();
        if (gone != null) {
            throw gone;
        }
    }

    /**
     * What is left of the lease, by this machine's monotonic clock: never more than the service counts. The lock counts as
     * lost a little before.
     *
     * @return the time; zero when it has ended
     */
    public Duration timeLeft() {
        return Duration.ofNanos(Math.max(hold.lease().ends() - Moment.now(), 0));
    }

    /**
     * Has a listener told when the lock is lost: before its lease ends, or when the service says that it is gone. It is
     * called once, on a thread of the client's, at once where the lock is lost already, and never after a release.
     *
     * @param listener what to call
     */
    public void onLost(Consumer<LockLostException> listener) {
        hold.onLost(listener);
    }

    /**
     * Gives the lock a new lease of its own length from now on.
     *
     * @throws LockLostException where it is lost, before or while this tries
     * @throws LockReleasedException where it was released
     * @throws LockInterruptedException where the thread is interrupted
     */
    public void renew() {
        renew(Duration.ZERO);
    }

    /**
     * Gives the lock a new lease from now on. It tries until the lock is lost.
     *
     * @param lease how long, 0.1 s to the service's MAX_TIMEOUT; zero for the lease's own length
     * @throws LockLostException where it is lost, before or while this tries
     * @throws LockReleasedException where it was released
     * @throws InvalidArgumentException where the service does not give such a lease
     * @throws LockInterruptedException where the thread is interrupted
     */
    public void renew(Duration lease) {
        CompletableFuture<Void> done = new CompletableFuture<>();
        Renewing r = hold.renew(Moment.nanos(lease), e -> {
            if (e == null) {
                done.complete(null);
            } else {
                done.completeExceptionally(e);
            }
        });
        Waiting.interruptibly(done, hold.request.name, () -> core.guard.run(r::stop));
    }

    /**
     * Gives the lock back, waiting up to 5 s for the service to say so. It is idempotent: after a release it does nothing.
     * An interrupt does not keep it from that.
     *
     * @throws LockLostException where the lock was lost before
     * @throws LockServiceUnavailableException where the service could not be told: the lease then runs out
     */
    public void release() {
        hold.release();
    }

    /**
     * Gives the lock back, as {@link #release} does, for try-with-resources. That the service could not be told is logged and
     * no failure, as the lock was held all the time.
     *
     * @throws LockLostException where the lock was lost before: the block went on without it
     */
    @Override
    public void close() {
        try {
            release();
        } catch (LockLostException e) {
            throw e;
        } catch (LockException e) {
            Core.LOG.log(Level.WARNING, "lock \"{0}\" was not released: {1}", hold.request.name, e.getMessage());
        }
    }

    /** The inside. */
    Hold hold() {
        return hold;
    }

    @Override
    public String toString() {
        return hold.toString();
    }
}

package distributedlock;

import java.time.Duration;
import java.util.Collection;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.stream.Stream;

/**
 * Talks to the lock service, over one WebSocket for all threads; it connects with the first call that needs it. It is safe
 * for use by many threads; a program needs one.
 *
 * <p>Every call may fail with a {@link LockException}. What may help is tried again by itself: a node that drains, that does
 * not know the outcome, a broken connection.
 */
public final class DistributedLockClient implements AutoCloseable {
    /** The lease that {@link #withLock(String, LockedAction)} asks for. */
    public static final Duration DEFAULT_LEASE = Duration.ofSeconds(30);

    private final Settings settings;
    private final Core core;
    private final Queries queries;

    /**
     * Makes a client of the service at one address.
     *
     * @param url {@code http://host:port} or {@code https://host:port}, with a path where the service is under one
     * @throws InvalidArgumentException where it cannot be such an address
     */
    public DistributedLockClient(String url) {
        this(builder().endpoints(url));
    }

    DistributedLockClient(DistributedLockClientBuilder b) {
        settings = b.settings();
        core = new Core(settings);
        queries = new Queries(core);
    }

    /**
     * Begins a client with more than an address.
     *
     * @return a builder, of which at least the endpoints are wanted
     */
    public static DistributedLockClientBuilder builder() {
        return new DistributedLockClientBuilder();
    }

    /**
     * Who the client is to the service.
     *
     * @return its id
     */
    public String getClientId() {
        return settings.clientId;
    }

    /**
     * Takes a lock, waiting in line up to 30 s. Close what it returns.
     *
     * @param name the lock's name, 1 to 512 bytes
     * @param leaseSeconds the lease, in seconds, up to the service's MAX_TIMEOUT; 0 for the service's default
     * @return the lock
     * @throws LockTimeoutException where it does not come free in time
     * @throws DeadlockException where the wait was part of a deadlock
     * @throws LockInterruptedException where the thread is interrupted
     * @throws LockServiceUnavailableException where the service was not reached in time
     */
    public DistributedLock acquire(String name, long leaseSeconds) {
        return acquire(name, Duration.ofSeconds(leaseSeconds));
    }

    /**
     * Takes a lock, waiting in line up to 30 s. Close what it returns.
     *
     * @param name the lock's name, 1 to 512 bytes
     * @param lease how long it lasts, 0.1 s to the service's MAX_TIMEOUT; zero for the service's default
     * @return the lock
     * @see #acquire(String, long)
     */
    public DistributedLock acquire(String name, Duration lease) {
        return acquire(name, lease, LockOptions.defaults());
    }

    /**
     * Takes a lock. Close what it returns.
     *
     * @param name the lock's name, 1 to 512 bytes
     * @param lease how long it lasts, 0.1 s to the service's MAX_TIMEOUT; zero for the service's default
     * @param options how
     * @return the lock
     * @throws LockHeldException where somebody else holds it and the options do not wait
     * @throws LockTimeoutException where it does not come free in time
     * @throws DeadlockException where the wait was part of a deadlock
     * @throws LimitMismatchException where the lock is in use with another limit
     * @throws LockInterruptedException where the thread is interrupted: the request has left the line then, and the flag stands
     * @throws LockServiceUnavailableException where the service was not reached in time
     */
    public DistributedLock acquire(String name, Duration lease, LockOptions options) {
        Acquisition a = new Acquisition(core, request(name, lease, options, owner(options)), Runnable::run);
        return a.await();
    }

    /**
     * Takes a lock if it is free. It never waits in line, and tries for 5 s at most to reach the service.
     *
     * @param name the lock's name, 1 to 512 bytes
     * @param lease how long it lasts, 0.1 s to the service's MAX_TIMEOUT; zero for the service's default
     * @return the lock; empty where somebody else holds it
     */
    public Optional<DistributedLock> tryAcquire(String name, Duration lease) {
        return tryAcquire(name, lease, LockOptions.defaults());
    }

    /**
     * Takes a lock if it is free. It never waits in line, and tries for 5 s at most to reach the service.
     *
     * @param name the lock's name, 1 to 512 bytes
     * @param lease how long it lasts, 0.1 s to the service's MAX_TIMEOUT; zero for the service's default
     * @param options how, but for the wait
     * @return the lock; empty where somebody else holds it: who, an {@link #acquire(String, Duration, LockOptions) acquire}
     *     that does not wait tells in its {@link LockHeldException}
     */
    public Optional<DistributedLock> tryAcquire(String name, Duration lease, LockOptions options) {
        try {
            return Optional.of(acquire(name, lease, options.waitTimeout(Duration.ZERO)));
        } catch (LockHeldException e) {
            return Optional.empty();
        }
    }

    /**
     * Takes a lock without blocking a thread. Cancelling the future, or completing it in any other way, leaves the line; a
     * grant that crosses that goes back. Each call that names no owner is an owner of its own.
     *
     * @param name the lock's name, 1 to 512 bytes
     * @param lease how long it lasts, 0.1 s to the service's MAX_TIMEOUT; zero for the service's default
     * @param options how
     * @return the lock to be; it fails as {@link #acquire(String, Duration, LockOptions)} does, and is completed by a thread of
     *     the client's that may be blocked
     */
    public CompletableFuture<DistributedLock> acquireAsync(String name, Duration lease, LockOptions options) {
        String owner = options.owner() == null ? LockOwner.newId() : options.owner();
        return new Acquisition(core, request(name, lease, options, owner), core::workOrRun).future();
    }

    /**
     * Holds a lock, renewed, with a lease of 30 s, while an action runs; waits in line for it up to 30 s.
     *
     * @param <E> what the action may throw
     * @param name the lock's name, 1 to 512 bytes
     * @param action what to do
     * @throws E what the action threw
     * @see #callWithLock
     */
    public <E extends Exception> void withLock(String name, LockedAction<E> action) throws E {
        withLock(name, DEFAULT_LEASE, LockOptions.defaults(), action);
    }

    /**
     * Holds a lock, renewed, while an action runs.
     *
     * @param <E> what the action may throw
     * @param name the lock's name, 1 to 512 bytes
     * @param lease the lease that is renewed: so long others wait where this process dies
     * @param options how to acquire it
     * @param action what to do
     * @throws E what the action threw
     * @see #callWithLock
     */
    public <E extends Exception> void withLock(String name, Duration lease, LockOptions options, LockedAction<E> action)
            throws E {
        LockedCall<Void, E> call = lock -> {
            action.run(lock);
            return null;
        };
        callWithLock(name, lease, options, call);
    }

    /**
     * Holds a lock, renewed, while a call runs. When the lock is lost meanwhile, the thread is interrupted, and the failure is a
     * {@link LockLostException}, with what the call threw as its cause; the interrupt does not outlive the call.
     *
     * @param <T> what the call returns
     * @param <E> what the call may throw
     * @param name the lock's name, 1 to 512 bytes
     * @param lease the lease that is renewed: so long others wait where this process dies
     * @param options how to acquire it
     * @param call what to do
     * @return what the call returned
     * @throws E what the call threw
     * @throws LockLostException where the lock was lost while the call ran
     */
    public <T, E extends Exception> T callWithLock(
            String name, Duration lease, LockOptions options, LockedCall<T, E> call) throws E {
        return LockedBody.run(acquire(name, lease, options.autoRenew()), call);
    }

    private String owner(LockOptions o) {
        if (o.owner() != null) {
            return o.owner();
        }
        return settings.owner != null ? settings.owner : LockOwner.current();
    }

    private Request request(String name, Duration lease, LockOptions options, String owner) {
        return new Request(name, lease, options, settings, owner);
    }

    /**
     * Gives a grant back by what {@link DistributedLock#getLockId} was, for programs that keep it.
     *
     * @param name the lock's name
     * @param lockId the grant's id
     * @return how long it was held
     * @throws LockLostException where the grant is gone
     * @throws NotOwnerException where it is another client's
     */
    public Duration release(String name, String lockId) {
        return new ById(core).release(name, lockId);
    }

    /**
     * Gives a grant a new lease by what {@link DistributedLock#getRenewalToken} was, for programs that keep it.
     *
     * @param name the lock's name
     * @param renewalToken the grant's token
     * @param lease how long; zero for the lease's own length
     * @return the new lease
     * @throws LockLostException where the grant is gone
     * @throws NotOwnerException where it is another client's
     */
    public Renewal renew(String name, String renewalToken, Duration lease) {
        return new ById(core).renew(name, renewalToken, Moment.nanos(lease));
    }

    /**
     * Tells who holds a lock and who waits for it.
     *
     * @param name the lock's name
     * @return what there is to say; a free lock is no error
     */
    public LockStatus status(String name) {
        return queries.get(Rest.lockPath(Request.checkName(name), "status"), name, LockStatus.class);
    }

    /**
     * Goes through the locks held whose names begin with a prefix, page by page as they are wanted. A lock held throughout
     * appears exactly once.
     *
     * @param prefix the beginning; empty for all
     * @return the locks, without those who wait; it may fail with a {@link LockException} between any two
     */
    public Stream<LockStatus> list(String prefix) {
        return queries.list(prefix);
    }

    /**
     * Tells the cluster's figures.
     *
     * @return the figures
     */
    public LockStats stats() {
        return queries.get("/locks/stats", "", LockStats.class);
    }

    /**
     * Tells who waits for whom.
     *
     * @return the graph
     */
    public LockGraph graph() {
        return queries.get("/graph", "", LockGraph.class);
    }

    /**
     * Tells who waits for whom, as Graphviz draws it.
     *
     * @return the graph in the language DOT
     */
    public String graphDot() {
        return queries.text(RestCall.get("/graph?format=dot", ""));
    }

    /**
     * Tells how the node is that is asked.
     *
     * @return its health
     * @throws LockServiceUnavailableException where its Redis does not answer
     */
    public ServiceHealth health() {
        return queries.get("/health", "", ServiceHealth.class);
    }

    /**
     * Takes a lock from its holders, who are told. It needs an admin's token.
     *
     * @param name the lock's name
     * @param reason why, for the log; 1 KiB at most
     * @return those who held it
     * @throws NotLockedException where nobody holds it
     * @throws ForbiddenException where the token does not allow it
     */
    public List<Holder> forceRelease(String name, String reason) {
        return queries.forceRelease(name, reason);
    }

    /**
     * Has a listener told what happens to locks, until the subscription is closed. It goes on over broken connections, after
     * an event of kind {@code gap}. It needs a WebSocket.
     *
     * @param locks names, or beginnings with a {@code *} behind; none: all
     * @param events kinds of events; none: all
     * @param listener what to tell
     * @return the subscription
     */
    public Subscription subscribe(Collection<String> locks, Collection<String> events, LockEventListener listener) {
        LockException refusal = core.refusal();
        if (refusal != null) {
            throw refusal;
        }
        Subscriber s = new Subscriber(core, locks, events, listener);
        s.start();
        return new Subscription(s);
    }

    /** For tests: the inside. */
    Core core() {
        return core;
    }

    /**
     * Ends the client: waits end with {@link ClientClosedException}, and what is held is released, for which it waits up to
     * 2 s. It is idempotent.
     */
    @Override
    public void close() {
        core.close();
    }

    @Override
    public String toString() {
        return "DistributedLockClient[clientId=" + settings.clientId + ", endpoints=" + settings.endpoints + "]";
    }
}

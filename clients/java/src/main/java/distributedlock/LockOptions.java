package distributedlock;

import java.time.Duration;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.Consumer;

/**
 * How to acquire a lock. It is immutable: every method returns another one.
 *
 * <pre>{@code
 * LockOptions.defaults().waitTimeout(Duration.ofSeconds(5)).autoRenew()
 * }</pre>
 */
public final class LockOptions {
    /** How long an acquire waits in line where nothing else is said. */
    public static final Duration DEFAULT_WAIT = Duration.ofSeconds(30);

    private static final LockOptions DEFAULTS = new LockOptions(new Values());

    private final Values values;

    private static final class Values implements Cloneable {
        private Duration wait = DEFAULT_WAIT; // null: without bound
        private Boolean autoRenew; // null: as the client
        private Duration maxHold = Duration.ZERO;
        private Map<String, Object> metadata;
        private boolean shared;
        private Integer limit;
        private String owner;
        private String requestId;
        private Consumer<Place> onQueued;
        private Consumer<LockLostException> onLost;

        @Override
        protected Values clone() {
            try {
                return (Values) super.clone();
            } catch (CloneNotSupportedException e) {
                throw new AssertionError(e);
            }
        }
    }

    private LockOptions(Values values) {
        this.values = values;
    }

    private LockOptions with(Consumer<Values> change) {
        Values v = values.clone();
        change.accept(v);
        return new LockOptions(v);
    }

    /**
     * Waits in line for 30 s; exclusive, with automatic renewal as the client has it.
     *
     * @return the options to begin with
     */
    public static LockOptions defaults() {
        return DEFAULTS;
    }

    /**
     * Waits in line for so long.
     *
     * @param wait how long; zero tries once, and a lock that somebody holds is a {@link LockHeldException} then
     * @return these options, changed
     */
    public LockOptions waitTimeout(Duration wait) {
        return with(v -> v.wait = wait.isNegative() ? Duration.ZERO : wait);
    }

    /**
     * Waits in line without bound.
     *
     * @return these options, changed
     */
    public LockOptions waitForever() {
        return with(v -> v.wait = null);
    }

    /**
     * Has the client renew the lease, every third of it, until the lock is released or lost.
     *
     * @return these options, changed
     */
    public LockOptions autoRenew() {
        return autoRenew(true);
    }

    /**
     * Says whether the client renews the lease, every third of it, until the lock is released or lost.
     *
     * @param renew whether it does
     * @return these options, changed
     */
    public LockOptions autoRenew(boolean renew) {
        return with(v -> v.autoRenew = renew);
    }

    /**
     * Ends automatic renewal so long after the grant; the lease then runs out.
     *
     * @param most how long; zero for no end
     * @return these options, changed
     */
    public LockOptions maxHold(Duration most) {
        return with(v -> v.maxHold = most);
    }

    /**
     * Tells people who look at the lock what it is held for.
     *
     * @param metadata what can be JSON, 4 KiB at most
     * @return these options, changed
     */
    public LockOptions metadata(Map<String, ?> metadata) {
        Map<String, Object> copy = Collections.unmodifiableMap(new LinkedHashMap<>(metadata));
        return with(v -> v.metadata = copy);
    }

    /**
     * Asks for the lock together with others who do: readers together, writers alone.
     *
     * @return these options, changed
     */
    public LockOptions shared() {
        return with(v -> v.shared = true);
    }

    /**
     * Asks for one of so many permits. All who use the lock must say the same.
     *
     * @param permits 1 to 10,000
     * @return these options, changed
     */
    public LockOptions limit(int permits) {
        return with(v -> v.limit = permits);
    }

    /**
     * Says who would hold the lock, instead of {@link LockOwner#current}.
     *
     * @param owner 1 to 256 bytes
     * @return these options, changed
     */
    public LockOptions owner(String owner) {
        return with(v -> v.owner = owner);
    }

    /**
     * Names the request, so that asking again, even by another process with the same client id, gets the same grant or place
     * in line. Else each acquire has a random one.
     *
     * @param id 1 to 256 bytes
     * @return these options, changed
     */
    public LockOptions requestId(String id) {
        return with(v -> v.requestId = id);
    }

    /**
     * Is told when the request is queued, and whenever the line moves: one call after another, by a thread of the client's.
     * Over REST there is nothing to tell.
     *
     * @param listener what to call
     * @return these options, changed
     */
    public LockOptions onQueued(Consumer<Place> listener) {
        return with(v -> v.onQueued = listener);
    }

    /**
     * Is told when the lock is lost, as by {@link DistributedLock#onLost}.
     *
     * @param listener what to call
     * @return these options, changed
     */
    public LockOptions onLost(Consumer<LockLostException> listener) {
        return with(v -> v.onLost = listener);
    }

    Duration longestWait() {
        return values.wait;
    }

    boolean renews(boolean unlessSaid) {
        return values.autoRenew == null ? unlessSaid : values.autoRenew;
    }

    Duration maxHold() {
        return values.maxHold;
    }

    Map<String, Object> metadata() {
        return values.metadata;
    }

    boolean isShared() {
        return values.shared;
    }

    Integer limit() {
        return values.limit;
    }

    String owner() {
        return values.owner;
    }

    String requestId() {
        return values.requestId;
    }

    Consumer<Place> onQueued() {
        return values.onQueued;
    }

    Consumer<LockLostException> onLost() {
        return values.onLost;
    }
}

package distributedlock;

import java.lang.System.Logger.Level;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Future;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.SynchronousQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BiConsumer;

/**
 * A client's inside: its threads, what it holds, and its end. One thread runs timers and never blocks; those of the workers
 * read the connection and run what users want to be told.
 */
final class Core {
    static final System.Logger LOG = System.getLogger("distributedlock");

    /** How long a node may say nothing to what it answers at once, before it is taken for dead. */
    static final long ANSWER_PATIENCE = 5 * Moment.SECOND;
    /** How long the end of a client waits for what is given back. */
    static final long CLOSE_PATIENCE = 2 * Moment.SECOND;

    private static final long LONGEST_ASK = 60 * Moment.SECOND;
    private static final long SHORTEST_ASK = Moment.SECOND;
    private static final long WORKER_IDLES_SECONDS = 5;

    final Settings settings;
    final Guard guard = new Guard();
    final ServiceClock clock = new ServiceClock();
    final Calls calls = new Calls(this);
    final Link link = new Link(this);
    final Inbox inbox = new Inbox(this);
    final Teller teller = new Teller(this);
    final Rest rest;
    final Map<String, Hold> held = new HashMap<>();
    /** The locks that were lost, until their leases have surely ended; and when those that had were taken out. */
    private final Map<String, Long> lapsed = new HashMap<>();

    private long tidied = Moment.now();
    final Set<Subscriber> subscribers = new HashSet<>();
    final Set<Acquiring> acquiring = new HashSet<>();
    /** How long one frame asks to wait at most; a longer wait is asked for anew before that ends. */
    long longestAsk = LONGEST_ASK;
    /** Closed takes no more calls, over not even releases. */
    boolean closed;

    boolean over;

    private final Mailbox<Runnable> warnings = new Mailbox<>(this, Runnable::run, null);
    private final CountDownLatch gone = new CountDownLatch(1);
    private final ScheduledThreadPoolExecutor timer;
    private final ThreadPoolExecutor workers;

    Core(Settings settings) {
        this.settings = settings;
        timer = new ScheduledThreadPoolExecutor(1, r -> new Own(this, false, r, "distributedlock-timer"));
        timer.setRemoveOnCancelPolicy(true);
        AtomicInteger count = new AtomicInteger();
        workers = new ThreadPoolExecutor(
                0,
                Integer.MAX_VALUE,
                WORKER_IDLES_SECONDS,
                TimeUnit.SECONDS,
                new SynchronousQueue<>(),
                r -> new Own(this, true, r, "distributedlock-" + count.incrementAndGet()));
        rest = new Rest(this);
    }

    /** A thread of a client's. */
    private static final class Own extends Thread {
        private final Core core;
        private final boolean worker;

        Own(Core core, boolean worker, Runnable r, String name) {
            super(r, name);
            this.core = core;
            this.worker = worker;
            setDaemon(true);
        }
    }

    /** Whether the caller is one of the client's threads: a listener may close the client too, and must not wait for itself. */
    private boolean own() {
        return Thread.currentThread() instanceof Own t && t.core == this;
    }

    /** Tells the log what people may want to know. Where it is slow, nobody waits for it. The guard is held. */
    void warn(String format, Object... args) {
        warnings.post(() -> LOG.log(Level.WARNING, format, args));
    }

    /** Runs something a little later under the guard, unless the client has ended by then. */
    Future<?> after(long nanos, Runnable r) {
        try {
            return timer.schedule(() -> guard.run(() -> attempt(r)), Math.max(nanos, 0), TimeUnit.NANOSECONDS);
        } catch (RejectedExecutionException e) {
            return null;
        }
    }

    static void cancel(Future<?> timed) {
        if (timed != null) {
            timed.cancel(false);
        }
    }

    /** Runs something on a thread that may be blocked. After the client's end it is not run. */
    boolean work(Runnable r) {
        try {
            workers.execute(() -> attempt(r));
            return true;
        } catch (RejectedExecutionException e) {
            return false;
        }
    }

    /**
     * Runs what the JDK's HTTP client has to do. What its own thread or a worker comes by is done there and then: the JDK
     * loses the end of a WebSocket's connection where it reads that while it hands a frame on to another thread.
     */
    void runForHttp(Runnable r) {
        boolean worker = Thread.currentThread() instanceof Own t && t.worker;
        if (worker || onHttpThread()) {
            r.run();
        } else if (!work(r)) {
            LOG.log(Level.DEBUG, "nothing is sent any more: the client has ended");
        }
    }

    /** Whether the caller is the thread of the JDK's HTTP client, which must not be kept from its work. */
    static boolean onHttpThread() {
        return Thread.currentThread().getName().endsWith("-SelectorManager");
    }

    /** Has something done under the guard when a future has come out. */
    <T> void when(CompletableFuture<T> f, BiConsumer<T, Throwable> then) {
        var unused = f.whenComplete((value, e) -> guard.run(() -> attempt(() -> then.accept(value, e))));
    }

    /** {@link #work}, by the caller where the client has ended. */
    void workOrRun(Runnable r) {
        if (!work(r)) {
            r.run();
        }
    }

    private static void attempt(Runnable r) {
        try {
            r.run();
        } catch (RuntimeException e) { // of a listener, mostly: nobody else is to suffer from it
            LOG.log(Level.ERROR, "a callback failed", e);
        }
    }

    /** Has waits asked for in smaller parts, where the service refused one. False: that cannot help. The guard is held. */
    boolean shorten() {
        if (longestAsk <= SHORTEST_ASK) {
            return false;
        }
        longestAsk = Math.max(longestAsk / 2, SHORTEST_ASK);
        return true;
    }

    /** Why no call can be made, or null. */
    LockException refusal() {
        return guard.get(() -> closed ? Problem.closed() : null);
    }

    /**
     * Keeps the id of a lock that was lost until its lease has surely ended: the service may tell of the grant once more
     * until then, and it is not to be given back before its end, which somebody may rely on. The guard is held.
     */
    void lapse(String lockId, long end) {
        long now = Moment.now();
        if (now - tidied > Moment.SECOND) {
            tidied = now;
            lapsed.values().removeIf(until -> now - until > 0);
        }
        lapsed.put(lockId, end);
    }

    boolean lapsed(String lockId) {
        return lapsed.containsKey(lockId);
    }

    /** Finds the locks whose time has come, whatever became of their timers. The guard is held. */
    void sweep() {
        List.copyOf(held.values()).forEach(Hold::check);
    }

    void close() {
        boolean first = guard.get(this::begin);
        if (!first) {
            waitFor(gone);
            return;
        }
        if (!guard.get(() -> calls.awaitCalm(CLOSE_PATIENCE))) {
            LOG.log(Level.WARNING, "closed with something not given back: its lease runs out");
        }
        guard.run(() -> {
            over = true;
            calls.endAll(Problem.closed());
        });
        link.close();
        rest.close();
        timer.shutdownNow();
        workers.shutdown();
        if (!own()) {
            Waiting.patiently(CLOSE_PATIENCE, left -> workers.awaitTermination(left, TimeUnit.NANOSECONDS));
            Waiting.patiently(CLOSE_PATIENCE, left -> timer.awaitTermination(left, TimeUnit.NANOSECONDS));
        }
        gone.countDown();
    }

    private void waitFor(CountDownLatch latch) {
        if (!own()) {
            Waiting.patiently(5 * CLOSE_PATIENCE, left -> latch.await(left, TimeUnit.NANOSECONDS));
        }
    }

    /** Begins the end: waits are over, and what is held goes back. The guard is held. */
    private boolean begin() {
        if (closed) {
            return false;
        }
        closed = true;
        for (Acquiring a : List.copyOf(acquiring)) {
            a.stop(Problem.closed());
        }
        for (Subscriber s : List.copyOf(subscribers)) {
            s.end(Problem.closed());
        }
        calls.endUnattended();
        List.copyOf(held.values()).forEach(Hold::letGo);
        return true;
    }
}

package distributedlock;

import java.util.HexFormat;
import java.util.concurrent.Callable;
import java.util.concurrent.ThreadLocalRandom;

/**
 * Who holds and waits, for the service's search for deadlocks. Without a word about it, each thread is an owner of its own:
 * what it holds and what it waits for is one owner's, so a circle of threads is found, and a thread that asks again for a
 * lock that it holds fails at once with a {@link DeadlockException}. Work that is handed from thread to thread, such as a
 * job of a pool, is named with {@link #run} or {@link #call}.
 */
public final class LockOwner {
    private static final ThreadLocal<String> CURRENT = new ThreadLocal<>();

    private LockOwner() {}

    /**
     * Runs something as an owner: what it acquires is that owner's. Another owner may be set inside of it.
     *
     * @param owner the owner, 1 to 256 bytes
     * @param work what to run
     */
    public static void run(String owner, Runnable work) {
        String before = CURRENT.get();
        CURRENT.set(owner);
        try {
            work.run();
        } finally {
            CURRENT.set(before);
        }
    }

    /**
     * Runs something that returns a value as an owner.
     *
     * @param <T> the value's type
     * @param owner the owner, 1 to 256 bytes
     * @param work what to run
     * @return what the work returned
     * @throws Exception what the work threw
     */
    public static <T> T call(String owner, Callable<T> work) throws Exception {
        String before = CURRENT.get();
        CURRENT.set(owner);
        try {
            return work.call();
        } finally {
            CURRENT.set(before);
        }
    }

    /**
     * The calling thread's owner.
     *
     * @return that of {@link #run} or {@link #call}, or else the thread's own
     */
    public static String current() {
        String owner = CURRENT.get();
        if (owner == null) {
            owner = newId();
            CURRENT.set(owner);
        }
        return owner;
    }

    /** 128 random bits. They name a request or an owner, and guard nothing. */
    static String newId() {
        byte[] b = new byte[16];
        ThreadLocalRandom.current().nextBytes(b);
        return HexFormat.of().formatHex(b);
    }
}

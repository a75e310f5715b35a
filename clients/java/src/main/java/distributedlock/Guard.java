package distributedlock;

import java.lang.System.Logger.Level;
import java.util.ArrayDeque;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.Supplier;

/**
 * The one mutex of a client. What must not be done under it, such as answering a caller or closing a connection, is put
 * off with {@link #later} until it is let go, and is done by the same thread.
 */
final class Guard {
    private final ReentrantLock mutex = new ReentrantLock();
    private ArrayDeque<Runnable> put = new ArrayDeque<>();

    void run(Runnable r) {
        mutex.lock();
        try {
            r.run();
        } finally {
            leave();
        }
    }

    <T> T get(Supplier<T> s) {
        mutex.lock();
        try {
            return s.get();
        } finally {
            leave();
        }
    }

    private void leave() {
        if (mutex.getHoldCount() > 1 || put.isEmpty()) {
            mutex.unlock();
            return;
        }
        ArrayDeque<Runnable> due = put;
        put = new ArrayDeque<>();
        mutex.unlock();
        for (Runnable r : due) {
            try {
                r.run();
            } catch (RuntimeException e) { // none of them may keep the others from their turn
                Core.LOG.log(Level.ERROR, "a step failed", e);
            }
        }
    }

    /** Has something done as soon as the mutex is free. The mutex is held. */
    void later(Runnable r) {
        put.add(r);
    }

    Condition newCondition() {
        return mutex.newCondition();
    }
}

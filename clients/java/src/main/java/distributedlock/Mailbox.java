package distributedlock;

import java.util.ArrayDeque;
import java.util.function.Consumer;

/**
 * What a listener has to be told: one thing after another, by a worker. When there is more than it has room for, the listener
 * is told that some is missing. The guard is held for each method.
 */
final class Mailbox<T> {
    private static final int ROOM = 4096;

    private final Core core;
    private final Consumer<T> listener;
    private final T overflow;
    private final ArrayDeque<T> waiting = new ArrayDeque<>();
    private Runnable end;
    private boolean running;
    private boolean closed;

    /** Makes a mailbox. The overflow is told instead of what was too much. */
    Mailbox(Core core, Consumer<T> listener, T overflow) {
        this.core = core;
        this.listener = listener;
        this.overflow = overflow;
    }

    void post(T t) {
        if (closed) {
            return;
        }
        if (waiting.size() >= ROOM) {
            waiting.clear();
            if (overflow != null) {
                waiting.add(overflow);
            }
        }
        waiting.add(t);
        start();
    }

    /** Ends it: nothing more is told but what waits, and then the end. */
    void end(Runnable last) {
        if (!closed) {
            closed = true;
            end = last;
            start();
        }
    }

    /** Ends it at once: what waits is not told. */
    void discard() {
        closed = true;
        waiting.clear();
    }

    /** Ends it at once, but for a last thing. */
    void discard(Runnable last) {
        waiting.clear();
        end(last);
    }

    private void start() {
        if (!running) {
            running = true;
            core.guard.later(() -> core.work(this::drain));
        }
    }

    private void drain() {
        for (Runnable next = next(); next != null; next = next()) {
            try {
                next.run();
            } catch (RuntimeException e) { // the listener's: what comes after is told all the same
                Core.LOG.log(System.Logger.Level.ERROR, "a listener failed", e);
            }
        }
    }

    private Runnable next() {
        return core.guard.get(() -> {
            T t = waiting.poll();
            if (t != null) {
                return () -> listener.accept(t);
            }
            Runnable last = end;
            end = null;
            running = last != null;
            return last;
        });
    }
}

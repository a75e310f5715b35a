package distributedlock;

import java.util.ArrayDeque;
import java.util.Queue;

/**
 * Tells listeners of losses, one behind the other in one worker: a hundred of them at once are told sooner so than by a
 * hundred threads. A listener that takes its time keeps the others waiting no longer than the patience: another worker goes
 * on with them. The guard is held for each method.
 */
final class Teller {
    private static final long PATIENCE = 5 * Moment.MILLI;

    private final Core core;
    private final Queue<Runnable> waiting = new ArrayDeque<>();
    /** The worker at work; 0 for none. Those before it are busy with a listener each, and end with that. */
    private long turn;

    private long lastTurn;
    /** How many were told by the worker at work. */
    private long told;

    Teller(Core core) {
        this.core = core;
    }

    void tell(Runnable r) {
        waiting.add(r);
        if (turn == 0) {
            begin();
        }
    }

    private void begin() {
        long mine = ++lastTurn;
        turn = mine;
        core.guard.later(() -> {
            if (core.work(() -> drain(mine))) {
                core.guard.run(() -> watch(mine));
            }
        });
    }

    /** Has another worker take over from one that makes no progress. */
    private void watch(long mine) {
        long before = told;
        var unused = core.after(PATIENCE, () -> {
            if (turn != mine) {
                return;
            }
            if (told == before && !waiting.isEmpty()) {
                begin();
            } else {
                watch(mine);
            }
        });
    }

    private void drain(long mine) {
        for (Runnable next = next(mine); next != null; next = next(mine)) {
            try {
                next.run();
            } catch (RuntimeException e) { // the listener's: the others are told all the same
                Core.LOG.log(System.Logger.Level.ERROR, "a listener failed", e);
            }
        }
    }

    private Runnable next(long mine) {
        return core.guard.get(() -> {
            if (turn != mine) {
                return null;
            }
            Runnable next = waiting.poll();
            told++;
            turn = next == null ? 0 : turn;
            return next;
        });
    }
}

package distributedlock;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Future;

/**
 * An acquire over REST. A wait is several calls, each of which takes the place over from the one before. The guard is held
 * for each method.
 */
final class Polling {
    /** How long one call waits: proxies cut off what is silent for a minute. */
    private static final long CHUNK = 20 * Moment.SECOND;
    /** How long before its end the next call takes the place over. */
    private static final long LEAD = 4 * Moment.SECOND;

    private static final long TAKE_BACK_PATIENCE = 2 * Core.CLOSE_PATIENCE;

    private final Core core;
    private final Request request;
    private final Acquiring acquiring;
    private final long first = Moment.now();
    private final List<CompletableFuture<Grant>> flying = new ArrayList<>(2);
    private int last;
    private boolean over;
    private Future<?> next;
    private Future<?> end;

    Polling(Core core, Request request, Acquiring acquiring) {
        this.core = core;
        this.request = request;
        this.acquiring = acquiring;
    }

    void start() {
        if (request.until != Moment.NEVER) {
            end = core.after(
                    request.until - Moment.now(), () -> finish(null, null, Problem.unavailable(core.link.cause())));
        }
        poll();
    }

    private void poll() {
        if (over) {
            return;
        }
        long most = Math.min(CHUNK, core.longestAsk);
        long left = request.triesOnce() ? 0 : Math.max(request.end - Moment.now(), Moment.MILLI);
        long chunk = Math.min(most, left);
        int number = ++last;
        CompletableFuture<Grant> asked = core.rest.acquire(request, chunk, Moment.NEVER);
        flying.add(asked);
        if (left > chunk) {
            next = core.after(chunk - Math.min(LEAD, chunk / 4), this::poll);
        }
        core.when(asked, (g, e) -> {
            if (flying.remove(asked)) {
                answered(number, g, e);
            }
        });
    }

    private void answered(int number, Grant g, Throwable e) {
        if (over) {
            return;
        }
        if (g != null) {
            finish(g, hold(g), null);
            return;
        }
        LockException why = Rest.failure(e);
        boolean takenOver = number < last && why.getCode().equals(Problem.WAIT_TIMEOUT);
        if (!takenOver) {
            finish(null, null, why);
        }
    }

    private Hold hold(Grant g) {
        long received = Moment.now();
        // The service counts the wait from the last time it was asked.
        Duration waited = last > 1 ? Inbox.max(g.waited(), Duration.ofNanos(received - request.begin)) : g.waited();
        return Hold.granted(core, request, g, waited, first, received);
    }

    private void finish(Grant got, Hold hold, LockException why) {
        if (!over) {
            end(got);
            acquiring.polled(hold, why);
        }
    }

    /** Ends it for its caller. */
    void stop() {
        if (!over) {
            end(null);
        }
    }

    private void end(Grant got) {
        over = true;
        Core.cancel(next);
        Core.cancel(end);
        if (flying.isEmpty()) {
            return;
        }
        List<CompletableFuture<Grant>> rest = List.copyOf(flying);
        flying.clear();
        // What was granted in this moment, and is not what was got, goes back: the same request is told of it again.
        core.guard.later(() -> {
            rest.forEach(f -> f.cancel(true));
            if (got == null) {
                core.guard.run(() -> takeBack(core, request));
            }
        });
    }

    /** Asks once more for what may have been granted without our hearing of it, and gives it back. */
    static void takeBack(Core core, Request request) {
        core.calls.loosen();
        long until = Moment.now() + TAKE_BACK_PATIENCE;
        CompletableFuture<String> released = core.rest
                .acquire(request, 0, until)
                .thenCompose(g -> core.rest.send(core.rest.release(request.name, g.lockId(), until)));
        core.when(released, (text, e) -> core.calls.loosened());
    }
}

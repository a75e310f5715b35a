package distributedlock;

import java.time.Duration;
import java.util.concurrent.CompletableFuture;

/** One release, over whatever connections it takes until its time is up. */
final class Releasing {
    private final Core core;
    private final String name;
    private final String lockId;
    private final long until;
    private final CompletableFuture<Duration> result = new CompletableFuture<>();
    private int attempt;
    /** Whether an earlier try may have done it. */
    private volatile boolean resent;

    Releasing(Core core, String name, String lockId, long until, boolean tried) {
        this.core = core;
        this.name = name;
        this.lockId = lockId;
        this.until = until;
        resent = tried;
    }

    /** How long it was held, or why that cannot be told. */
    CompletableFuture<Duration> result() {
        return result;
    }

    boolean resent() {
        return resent;
    }

    /** Sends it. The guard is held. */
    void start() {
        if (core.over) {
            result.completeExceptionally(Problem.closed());
        } else if (core.link.noWebSocket()) {
            RestCall q = core.rest.release(name, lockId, until);
            core.when(Rest.read(core.rest.send(q), Rest::grant), (g, e) -> {
                Answer a = e == null ? Answer.released(g.heldFor()) : Answer.failed(Rest.failure(e));
                answered(a.resent(q.again));
            });
        } else {
            Call k = new Call(Call.Kind.RELEASE, name, lockId);
            k.told = a -> core.guard.run(() -> answered(a));
            try {
                core.calls.submit(k);
                core.calls.watch(k, until, Core.ANSWER_PATIENCE);
            } catch (LockException e) {
                result.completeExceptionally(e);
            }
        }
    }

    private void answered(Answer a) {
        resent |= a.resent();
        LockException e = a.error();
        long left = until - Moment.now();
        if (e == null) {
            result.complete(a.heldFor());
        } else if (!Problem.retryable(e)) {
            result.completeExceptionally(e);
        } else if (left <= 0) {
            resent = true;
            result.completeExceptionally(Problem.unavailable(e));
        } else {
            resent = true; // whatever it said, it may have been done
            long pause = Backoff.delay(attempt++, Moment.nanos(e.getRetryAfter()));
            if (core.after(Math.min(pause, left), this::start) == null) {
                result.completeExceptionally(Problem.closed());
            }
        }
    }
}

package distributedlock;

import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.Future;
import java.util.function.Consumer;

/** One renewal of a lock, over as many tries as it takes while the lock lives. The guard is held for each method. */
final class Renewing {
    private static final long LEAST_ASK_AGAIN = 100 * Moment.MILLI;

    private final Core core;
    private final Hold hold;
    private final long ttl;
    private final Consumer<LockException> told;
    private Call call;
    private CompletableFuture<?> exchange;
    private Future<?> timer;
    private int attempt;
    private boolean over;

    Renewing(Core core, Hold hold, long ttl, Consumer<LockException> told) {
        this.core = core;
        this.hold = hold;
        this.ttl = ttl;
        this.told = told;
    }

    void start() {
        LockException gone = core.closed ? Problem.closed() : hold.gone();
        if (over || gone != null) {
            finish(gone);
        } else if (core.link.noWebSocket()) {
            overRest();
        } else {
            overSocket();
        }
    }

    private void overSocket() {
        Call k = new Call(Call.Kind.RENEW, hold.request.name, hold.renewalToken);
        k.hold = hold;
        k.ttl = ttl;
        k.told = a -> core.guard.run(() -> answered(a.error()));
        call = k;
        try {
            core.calls.submit(k);
        } catch (LockException e) {
            finish(e);
            return;
        }
        core.calls.watch(k, hold.lease().lostAt(), patience());
        if (ttl == 0) { // one that has no answer is sent once more: the one that is answered first counts
            timer = core.after(askAgainAfter(), () -> core.calls.probe(hold));
        }
    }

    /** How long it may go without an answer before another one is sent after it. */
    private long askAgainAfter() {
        return Math.max(hold.lease().ttl() / 6, LEAST_ASK_AGAIN);
    }

    /**
     * How long a node may say nothing while it waits for it. Where there is another to go to, it is so short that the renewal
     * comes in time there.
     */
    private long patience() {
        boolean several = core.settings.endpoints.size() > 1;
        long lease = hold.lease().ttl();
        long patience = several ? Math.max(lease / 4, Moment.SECOND / 2) : Math.max(lease / 2, Moment.SECOND);
        return Math.min(patience, Core.ANSWER_PATIENCE);
    }

    private void overRest() {
        long from = Moment.now();
        CompletableFuture<Grant> asked = core.rest.renew(
                hold.request.name, hold.renewalToken, ttl, hold.lease().lostAt());
        exchange = asked;
        core.when(asked, (g, e) -> {
            if (g != null) {
                hold.extend(Lease.renewed(g.ttl(), from, Moment.now()));
                answered(null);
                return;
            }
            LockException why = Rest.failure(e);
            if (Problem.retryable(why)) {
                hold.unsure(from, ttl);
            }
            answered(why);
        });
    }

    private void answered(LockException e) {
        if (over) {
            return;
        }
        call = null;
        Core.cancel(timer);
        if (e == null || !(Problem.gone(e) || Problem.retryable(e))) {
            finish(e);
            return;
        }
        if (Problem.gone(e)) {
            hold.lose(Hold.UNKNOWN);
            finish(hold.gone());
            return;
        }
        long left = Math.max(hold.lease().lostAt() - Moment.now(), 0);
        timer = core.after(Math.min(Backoff.delay(attempt++, 0), left), this::start);
    }

    private void finish(LockException e) {
        if (over) {
            return;
        }
        over = true;
        Core.cancel(timer);
        hold.renewed(this);
        core.guard.later(() -> told.accept(e));
    }

    /** Gives it up for its caller. */
    void stop() {
        if (over) {
            return;
        }
        if (call != null) {
            core.calls.leave(call);
        }
        if (exchange != null) {
            exchange.cancel(true);
        }
        finish(Problem.interrupted(hold.request.name));
    }

    /** The failure of a future, without what futures wrap it into. */
    static Throwable unwrapped(Throwable e) {
        return e instanceof CompletionException && e.getCause() != null ? e.getCause() : e;
    }
}

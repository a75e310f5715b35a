package distributedlock;

import java.time.Duration;
import java.util.concurrent.Future;

/** One logical acquire: it asks until there is an answer that asking again cannot change. */
final class Acquiring {
    /** A wait that ends within so much has ended: it is not asked for the rest. */
    private static final long NEARLY = 20 * Moment.MILLI;
    /** More than what is left of a lease when its loss is told. */
    private static final long FADING = 2 * Moment.SECOND;

    /** Is told the outcome, once, without the guard. */
    interface Told {
        void granted(Hold hold);

        void failed(LockException why);
    }

    private final Core core;
    private final Request request;
    private final Told told;
    private final Mailbox<Place> places;
    private Call call;
    private Polling polling;
    private Future<?> timer;
    private int attempt;
    private boolean over;
    /** Whether the last try may have been granted without our hearing of it. */
    private boolean doubtful;
    /** How long deadlocks through locks that have ended are no failure; 0 before the first. */
    private long fadesUntil;

    Acquiring(Core core, Request request, Told told) {
        this.core = core;
        this.request = request;
        this.told = told;
        places = request.onQueued == null ? null : new Mailbox<>(core, request.onQueued, null);
    }

    void start() {
        core.guard.run(() -> {
            if (core.closed) {
                fail(Problem.closed());
            } else {
                core.acquiring.add(this);
                ask();
            }
        });
    }

    /** Asks once, over what there is. The guard is held, as for all that follows. */
    private void ask() {
        if (over) {
            return;
        }
        doubtful = false;
        if (core.link.noWebSocket()) {
            polling = new Polling(core, request, this);
            polling.start();
            return;
        }
        Call k = new Call(request);
        k.told = a -> core.guard.run(() -> answered(a));
        if (places != null) {
            k.moved = places::post;
        }
        call = k;
        try {
            core.calls.submit(k);
        } catch (LockException e) {
            fail(e);
            return;
        }
        core.calls.watch(k, request.until, Core.ANSWER_PATIENCE);
    }

    private void answered(Answer a) {
        call = null;
        if (a.error() == null) {
            granted(a.hold());
        } else {
            String code = a.error().getCode();
            failed(a.error(), code.equals(Problem.OUTCOME_UNKNOWN) || code.equals(Problem.INTERNAL));
        }
    }

    /** A poll was answered. */
    void polled(Hold hold, LockException e) {
        polling = null;
        if (e == null) {
            granted(hold);
        } else {
            failed(e, Problem.retryable(e) && !e.getCode().equals(Problem.RATE_LIMITED));
        }
    }

    /** Gives a lock to its caller, who may have lost patience meanwhile. */
    private void granted(Hold hold) {
        if (over) {
            hold.letGo();
        } else if (hold.lease().unclear()) {
            // When it was granted cannot be told well enough: a new lease begins after now.
            var unused = hold.renew(0, e -> core.guard.run(() -> renewed(hold, e)));
        } else {
            give(hold);
        }
    }

    private void renewed(Hold hold, LockException e) {
        if (e == null && !over) {
            give(hold);
            return;
        }
        hold.letGo();
        if (e != null) {
            fail(e);
        }
    }

    private void give(Hold hold) {
        finish();
        hold.keep();
        core.guard.later(() -> told.granted(hold));
    }

    private void fail(LockException why) {
        if (!over) {
            finish();
            core.guard.later(() -> told.failed(why));
        }
    }

    private void finish() {
        over = true;
        core.acquiring.remove(this);
        Core.cancel(timer);
        if (places != null) {
            places.discard();
        }
    }

    /** Judges what an error means for asking again. */
    private void failed(LockException e, boolean mayBeGranted) {
        if (over) {
            return;
        }
        long now = Moment.now();
        doubtful = mayBeGranted;
        boolean held = e instanceof LockHeldException;
        if (e instanceof NoWebSocketException) { // over REST, from now on
            anew();
        } else if (e instanceof LockTimeoutException && !held) {
            if (request.bounded() && request.end - now < NEARLY) {
                Duration waited = Duration.ofNanos(now - request.begin);
                fail(LockException.of(e.problem().waited(waited), null));
            } else { // only a part of the wait has ended
                anew();
            }
        } else if (e.problem().isAbout("waitTimeout") && core.shorten()) {
            anew();
        } else if (!Problem.retryable(e) && !fades(e, now)) {
            fail(e);
        } else if (now >= request.until) {
            giveUp(e);
        } else {
            long pause = Backoff.delay(attempt++, Backoff.floor(e.getRetryAfter()));
            timer = core.after(Math.min(pause, request.until - now), () -> askAgain(e));
        }
    }

    /**
     * Whether a deadlock is one for a moment only: through a lock of the owner's that has ended here, and lives on at the
     * service until the last bit of its lease is over or its release has come there.
     */
    private boolean fades(LockException e, long now) {
        if (!(e instanceof DeadlockException d)) {
            return false;
        }
        fadesUntil = fadesUntil == 0 ? now + FADING : fadesUntil;
        return now < Math.min(fadesUntil, request.until)
                && d.getCycle().stream().anyMatch(this::hasEnded);
    }

    private boolean hasEnded(CycleStep step) {
        boolean mine =
                step.clientId().equals(core.settings.clientId) && step.ownerId().equals(request.owner);
        return mine
                && core.held.values().stream()
                        .map(h -> h.request)
                        .noneMatch(r -> r.owner.equals(request.owner) && r.name.equals(step.holds()));
    }

    private void askAgain(LockException last) {
        if (Moment.now() >= request.until) {
            giveUp(last);
        } else {
            ask();
        }
    }

    private void anew() {
        attempt = 0;
        ask();
    }

    private void giveUp(LockException last) {
        takeBack();
        fail(Problem.unavailable(last));
    }

    /** Asks once more for what the last try may have been granted, so that it goes back. */
    private void takeBack() {
        if (!doubtful || core.over) {
            return;
        }
        if (core.link.noWebSocket()) {
            Polling.takeBack(core, request);
            return;
        }
        Call k = new Call(request);
        k.unattended = true;
        core.calls.submit(k);
        core.calls.takeBack(k);
    }

    /** Ends it for its caller: the request leaves the line, and a grant that crosses that goes back. */
    void stop(LockException why) {
        if (over) {
            return;
        }
        if (call != null) {
            core.calls.leave(call);
        } else if (polling != null) {
            polling.stop();
        } else {
            takeBack();
        }
        fail(why);
    }
}

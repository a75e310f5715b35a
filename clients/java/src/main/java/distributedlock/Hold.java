package distributedlock;

import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Future;
import java.util.concurrent.ThreadLocalRandom;
import java.util.function.Consumer;

/** A grant while it lasts: its lease, its renewal, its loss and its end. */
final class Hold {
    static final String UNKNOWN = "the service no longer knows it";

    private static final String RAN_OUT = "its lease ended and was not renewed";
    private static final long RELEASE_PATIENCE = 5 * Moment.SECOND;

    private enum State {
        HELD,
        RELEASED,
        LOST
    }

    final Request request;
    final String lockId;
    final String renewalToken;
    final long fencingToken;
    final Duration waited;
    private final Core core;
    private final long granted;

    // The client's guard protects what follows; the volatile ones are also read without it.
    private volatile State state = State.HELD;
    private volatile Lease lease;
    private String loss = RAN_OUT;
    /** Whether a release was sent; whether the service has answered one, or it is pointless. */
    private boolean tried;

    private boolean settled;
    private final List<Consumer<LockLostException>> listeners = new ArrayList<>(1);
    private final List<Runnable> hooks = new ArrayList<>(0);
    /** The renewals under way, of which the first has its turn. */
    private final ArrayDeque<Renewing> turns = new ArrayDeque<>(1);

    private Future<?> lossTimer;
    private long lossTimerAt;
    private Future<?> renewalTimer;

    private Hold(Core core, Request request, Grant g, Duration waited, Lease lease, long received) {
        this.core = core;
        this.request = request;
        lockId = g.lockId();
        renewalToken = g.token();
        fencingToken = g.fencing();
        this.waited = waited;
        this.lease = lease;
        granted = received;
    }

    /** The hold of a grant that was asked for after first and told at received. The guard is held. */
    static Hold granted(Core core, Request q, Grant g, Duration waited, long first, long received) {
        Lease lease = Lease.granted(q.ttl, g.ttl(), first, received, g.expires(), core.clock);
        Hold h = new Hold(core, q, g, waited, lease, received);
        core.held.put(h.lockId, h);
        if (q.onLost != null) {
            h.listeners.add(q.onLost);
        }
        h.arm();
        return h;
    }

    /** Whether it is held, by now. */
    boolean isHeld() {
        check();
        return state == State.HELD;
    }

    boolean isLost() {
        check();
        return state == State.LOST;
    }

    boolean lasts() {
        return state == State.HELD;
    }

    /** Why it is not held any more, or null. */
    LockException gone() {
        check();
        return switch (state) {
            case HELD -> null;
            case RELEASED -> Problem.released(request.name);
            case LOST -> lost();
        };
    }

    private LockLostException lost() {
        return (LockLostException) Problem.lost(request.name, core.guard.get(() -> loss));
    }

    Lease lease() {
        return lease;
    }

    /** Has a listener told of the loss, by a worker. */
    void onLost(Consumer<LockLostException> listener) {
        check();
        core.guard.run(() -> {
            if (state == State.LOST) {
                tell(listener);
            } else {
                listeners.add(listener);
            }
        });
    }

    /** Has something quick done as soon as it is lost, by whoever finds that out; at once where it is lost already. */
    void hook(Runnable r) {
        core.guard.run(() -> {
            if (state == State.LOST) {
                core.guard.later(r);
            } else {
                hooks.add(r);
            }
        });
    }

    private void tell(Consumer<LockLostException> listener) {
        LockLostException why = lost();
        core.teller.tell(() -> listener.accept(why));
    }

    /** Finds the lock lost when its time has come. */
    void check() {
        if (state == State.HELD && overdue()) {
            core.guard.run(() -> {
                if (overdue()) { // and no renewal came in between
                    lose(RAN_OUT);
                }
            });
        }
    }

    private boolean overdue() {
        return Moment.now() >= lease.lostAt();
    }

    /** Ends the lock for a reason. The first end counts. The guard is held. */
    void lose(String reason) {
        if (state != State.HELD) {
            return;
        }
        loss = reason;
        end(State.LOST);
        core.lapse(lockId, lease.endsLast());
        core.guard.later(() -> hooks.forEach(Runnable::run));
        listeners.forEach(this::tell);
        core.warn("lock \"{0}\" is lost: {1}", request.name, reason);
    }

    private void end(State as) {
        state = as;
        Core.cancel(lossTimer);
        Core.cancel(renewalTimer);
        core.held.remove(lockId, this);
    }

    /** Has the loss found in time. A timer that comes too soon looks again. The guard is held. */
    private void arm() {
        long at = lease.lostAt();
        if (state != State.HELD || (lossTimer != null && lossTimerAt <= at)) {
            return;
        }
        Core.cancel(lossTimer);
        lossTimerAt = at;
        lossTimer = core.after(at - Moment.now(), () -> {
            lossTimer = null;
            check();
            arm();
        });
    }

    /** Takes a new lease. The guard is held. */
    void extend(Lease renewed) {
        if (state == State.HELD) {
            lease = renewed;
            arm();
        }
    }

    /**
     * Notes that the lease may have been renewed from then on, or not: with one that is shorter, it may end sooner. The guard
     * is held.
     */
    void unsure(long from, long ttl) {
        if (from != 0 && ttl != 0 && from + ttl < lease.ends()) {
            lease = lease.endingAt(from + ttl);
            arm();
        }
    }

    /** Renews, after the renewals before it. What is told the end hears null, or why it failed. */
    Renewing renew(long ttl, Consumer<LockException> told) {
        Renewing r = new Renewing(core, this, ttl, told);
        core.guard.run(() -> {
            turns.add(r);
            if (turns.size() == 1) {
                r.start();
            }
        });
        return r;
    }

    /** The next renewal has its turn. The guard is held. */
    void renewed(Renewing r) {
        boolean first = turns.peek() == r;
        turns.remove(r);
        if (first && !turns.isEmpty()) {
            turns.element().start();
        }
    }

    /** Has the lock renewed until it ends, where that is wanted. The guard is held. */
    void keep() {
        if (state == State.HELD && request.autoRenew) {
            long soon = Math.max((lease.lostAt() - Moment.now()) / 2, 0); // where little is left of the lease
            renewalTimer = core.after(Math.min(renewIn(), soon), this::renewNow);
        }
    }

    /** After a third of the lease, a little less, so that many do not come at once. */
    private long renewIn() {
        long third = lease.ttl() / 3;
        return third - ThreadLocalRandom.current().nextLong(third / 10 + 1);
    }

    private void renewNow() {
        if (state != State.HELD || core.closed) {
            return;
        }
        if (request.maxHold > 0 && Moment.now() - granted >= request.maxHold) {
            return; // the lease runs out
        }
        var unused = renew(
                0,
                e -> core.guard.run(() -> {
                    if (e == null) {
                        keep();
                    } else if (isHeld()) { // what can be done is to try again as long as the lease lives
                        core.warn("a renewal of \"{0}\" failed: {1}", request.name, e.getMessage());
                        renewalTimer = core.after(renewIn() / 2, this::renewNow);
                    }
                }));
    }

    /** Gives the lock back and waits for that. */
    void release() {
        Releasing r = core.guard.get(this::beginRelease);
        if (r == null) {
            return;
        }
        LockException failure = null;
        try {
            Waiting.patiently(r.result());
        } catch (LockException e) {
            failure = e;
        }
        settle(failure, r.resent());
    }

    /** Ends the lock and sends its release, where it is due. The guard is held. */
    private Releasing beginRelease() {
        check();
        if (state == State.LOST) {
            if (!settled) { // the lease may live a little longer: the next in line need not wait for its end
                settled = true;
                releaseLater();
            }
            throw lost();
        }
        if (settled) {
            return null;
        }
        end(State.RELEASED);
        long until = Math.min(Moment.now() + RELEASE_PATIENCE, lease.endsLast());
        Releasing r = new Releasing(core, request.name, lockId, until, tried);
        tried = true;
        r.start();
        return r;
    }

    /** Notes how a release came out. A grant that is gone on the second try was released by the first. */
    private void settle(LockException failure, boolean again) {
        boolean lost = failure instanceof LockLostException;
        boolean fine = core.guard.get(() -> {
            if (failure == null || (lost && again) || settled || Moment.now() > lease.endsLast()) {
                settled = true; // in the last case, nobody holds anything by this grant any more
                return true;
            }
            if (lost) {
                settled = true;
                loss = UNKNOWN;
                state = State.LOST;
            }
            return false;
        });
        if (!fine) {
            throw failure; // where it is no answer, another try may do it
        }
    }

    /** Gives the lock back, and nobody waits for that. */
    void letGo() {
        core.guard.run(() -> {
            if (state == State.HELD) {
                end(State.RELEASED);
            }
            if (!settled) {
                settled = true;
                releaseLater();
            }
        });
    }

    private void releaseLater() {
        if (core.link.noWebSocket()) {
            core.rest.giveBack(request.name, lockId);
        } else {
            core.calls.giveBack(request.name, lockId);
        }
    }

    @Override
    public String toString() {
        return "DistributedLock[name=" + request.name + ", fencingToken=" + fencingToken + ", " + state + "]";
    }
}

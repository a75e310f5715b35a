package distributedlock;

import java.lang.System.Logger.Level;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.locks.Condition;

/** The calls under way, by the ids of their frames. The guard is held for each method. */
final class Calls {
    /** What the service takes. */
    private static final int MAX_FRAME = 64 << 10;
    /** For how long a call that nobody waits for is tried again. */
    private static final long AGAIN_FOR = 60 * Moment.SECOND;

    private final Core core;
    private final Map<Long, Call> pending = new HashMap<>();
    private final Condition calm;
    private long lastId;
    /** How many things are under way that nobody but the client's end waits for. */
    private int loose;

    Calls(Core core) {
        this.core = core;
        calm = core.guard.newCondition();
    }

    boolean isEmpty() {
        return pending.isEmpty();
    }

    Call get(long id) {
        return pending.get(id);
    }

    long nextId() {
        return ++lastId;
    }

    /** All calls, each once, in the order in which they were asked. */
    List<Call> all() {
        List<Call> all = new ArrayList<>();
        pending.forEach((id, k) -> {
            if (id == k.id) {
                all.add(k);
            }
        });
        all.sort(Comparator.comparingLong(k -> k.id));
        return all;
    }

    /** Sends a call, now or as soon as there is a connection. */
    void submit(Call k) {
        if (core.over || (core.closed && !k.loose())) {
            throw Problem.closed();
        }
        k.id = nextId();
        pending.put(k.id, k);
        if (k.loose()) {
            loosen();
        }
        Connection n = core.link.connection();
        if (n == null) {
            core.link.start();
        } else if (!put(n, k)) {
            forget(k);
            throw Problem.tooLarge(k.name);
        }
    }

    /** Hands a call to a connection. False: it is too large. */
    boolean put(Connection n, Call k) {
        long now = Moment.now();
        String frame = k.frame(now, core.longestAsk);
        if (tooLarge(frame)) {
            return false;
        }
        k.first = k.first == 0 ? now : k.first;
        k.sent = now;
        n.send(frame);
        return true;
    }

    private static boolean tooLarge(String frame) {
        int most = 3; // bytes of UTF-8 for one char
        return frame.length() > MAX_FRAME / most && frame.getBytes(StandardCharsets.UTF_8).length > MAX_FRAME;
    }

    /** Waits for a call's answer until then; a connection that says nothing for the patience is given up. */
    void watch(Call k, long until, long patience) {
        k.until = until;
        k.patience = patience;
        if (!k.ended) {
            k.look = core.after(nextLook(k) - Moment.now(), () -> look(k));
        }
    }

    private long nextLook(Call k) {
        boolean unsent = k.kind == Call.Kind.ACQUIRE && k.sent == 0; // it is asked for only as there is a connection
        long patience = unsent ? Math.min(k.patience, core.longestAsk / 2) : k.patience;
        return Math.min(Math.min(Moment.now() + patience, k.refreshAt()), k.until);
    }

    /** Asks again for a wait that is about to end, and gives up a connection that does not answer. */
    private void look(Call k) {
        if (k.ended || k.unattended) {
            return;
        }
        long now = Moment.now();
        if (now >= k.until) {
            leave(k);
            LockException why = Problem.unavailable(core.link.cause());
            core.guard.later(() -> k.told.accept(Answer.failed(why)));
            return;
        }
        Connection n = core.link.connection();
        if (n == null) {
            core.link.start();
        } else if (!k.queued && k.sent != 0 && n.quiet() >= k.patience && now - k.sent >= k.patience) {
            n.kill(Connection.silent());
        }
        if (now >= k.refreshAt()) {
            refresh(n, k);
        }
        k.look = core.after(nextLook(k) - now, () -> look(k));
    }

    /** Asks for the place of a waiting acquire again, with more time. */
    private void refresh(Connection n, Call k) {
        if (n == null || n.dead()) {
            return; // the next connection asks anyway
        }
        k.older.add(k.id);
        k.id = nextId();
        pending.put(k.id, k);
        k.queued = false;
        put(n, k);
    }

    /** Has a call go on under a new id, as the service may hold the old one still. */
    void rename(Call k) {
        takeOut(k);
        k.older.clear();
        k.id = nextId();
        k.queued = false;
        pending.put(k.id, k);
    }

    private void takeOut(Call k) {
        pending.remove(k.id);
        k.older.forEach(pending::remove);
    }

    /** An older id of a call has had its answer. */
    void answered(Call k, long id) {
        k.older.remove(id);
        pending.remove(id);
    }

    void forget(Call k) {
        if (k.ended) {
            return;
        }
        k.ended = true;
        takeOut(k);
        Core.cancel(k.look);
        if (k.loose()) {
            loosened();
        }
    }

    /** Notes that the client's end has to wait for one more thing. */
    void loosen() {
        loose++;
    }

    void loosened() {
        if (--loose == 0) {
            calm.signalAll();
        }
    }

    boolean awaitCalm(long most) {
        return Waiting.patiently(most, left -> {
            long nanos = left;
            while (loose > 0 && nanos > 0) {
                nanos = calm.awaitNanos(nanos);
            }
            return loose == 0;
        });
    }

    /** Answers a call. */
    void end(Call k, Answer a) {
        if (k.ended) {
            return;
        }
        forget(k);
        if (!k.unattended) {
            Answer told = a.resent(k.first != k.sent);
            core.guard.later(() -> k.told.accept(told));
        }
    }

    void endAll(LockException why) {
        all().forEach(k -> end(k, Answer.failed(why)));
    }

    /** Ends what nobody waits for and gives nothing back, as the client ends. */
    void endUnattended() {
        for (Call k : all()) {
            if (k.unattended && k.kind != Call.Kind.ACQUIRE && k.kind != Call.Kind.RELEASE) {
                end(k, Answer.DONE);
            }
        }
    }

    /**
     * Gives a call up for its caller. An acquire that was sent is taken back, and what it is granted all the same goes back
     * too. A renewal that was sent may have been made, or not.
     */
    void leave(Call k) {
        if (k.ended) {
            return;
        }
        if (k.kind == Call.Kind.RENEW && k.hold != null) {
            k.hold.unsure(k.first, k.ttl);
        }
        if (k.kind != Call.Kind.ACQUIRE || k.first == 0) {
            forget(k);
            return;
        }
        k.unattended = true;
        loosen();
        Core.cancel(k.look);
        takeBack(k);
    }

    /** Sends the cancels of an acquire that nobody wants: one for each answer that is due. */
    void takeBack(Call k) {
        Connection n = core.link.connection();
        if (n == null) {
            return; // the next connection does
        }
        k.older.forEach(id -> cancel(n, id));
        cancel(n, k.id);
    }

    private void cancel(Connection n, long id) {
        n.send(Body.frame("cancel", nextId()).text("target", Long.toString(id)).toString());
    }

    /** Releases a grant that nobody wants. */
    void giveBack(String name, String lockId) {
        if (core.over) {
            return;
        }
        Call k = new Call(Call.Kind.RELEASE, name, lockId);
        k.unattended = true;
        submit(k);
    }

    /** Whether a release of a grant is under way: another, of a repeat, would only get in its way. */
    boolean releasing(String lockId) {
        return pending.values().stream().anyMatch(k -> k.kind == Call.Kind.RELEASE && k.secret.equals(lockId));
    }

    /** The acquire of a grant that was told under an id of an earlier connection. */
    Call wanting(String name, String requestId) {
        for (Call k : pending.values()) {
            if (k.request != null && k.request.id.equals(requestId) && k.name.equals(name)) {
                return k;
            }
        }
        return null;
    }

    /** Asks whether a lock is still held, with a renewal that nobody waits for. */
    void probe(Hold h) {
        if (!h.lasts() || core.closed) {
            return;
        }
        Call k = new Call(Call.Kind.RENEW, h.request.name, h.renewalToken);
        k.hold = h;
        k.unattended = true;
        submit(k);
    }

    /** Repeats a call that nobody waits for, a little later, where that may help. */
    boolean again(Call k, LockException e) {
        if (!Problem.retryable(e) || Moment.now() - k.first > AGAIN_FOR) {
            return false;
        }
        long id = k.id;
        Core.LOG.log(Level.DEBUG, "tried again: {0}", e.getMessage());
        var unused = core.after(Backoff.delay(2, Backoff.floor(e.getRetryAfter())), () -> {
            Connection n = core.link.connection();
            if (n != null && pending.get(id) == k) {
                put(n, k);
            }
        });
        return true;
    }
}

package distributedlock;

import com.google.gson.JsonObject;
import java.io.IOException;
import java.lang.System.Logger.Level;
import java.net.URI;
import java.time.Duration;
import java.time.Instant;
import java.util.List;

/**
 * Sees to a connection for as long as anything depends on one: tries one endpoint after another, and comes back with the
 * session. The guard is held for each method, but where it says otherwise.
 */
final class Link {
    /** How long the client goes without a WebSocket after none could be had. */
    private static final long REST_FOR = 60 * Moment.SECOND;
    /** How long a connection must have lived for the next one to be tried without a pause. */
    private static final long SETTLED_AFTER = 2 * Moment.SECOND;
    /** How many connections that were made, and soon ended, lengthen the pause before the next. */
    private static final int MOST_SHORT_LIVED = 4;

    private static final int NORMAL_CLOSURE = 1000;
    private static final int GOING_AWAY = 1001;
    private static final int TOO_BIG = 1009;
    private static final int BAD_FRAME = 4400;

    private final Core core;
    /** The connection, null while there is none; the handshake under way; whether somebody sees to one. */
    private Connection connection;

    private Handshake handshake;
    private boolean linking;
    private String session = "";
    private int endpoint;
    /** Until when no WebSocket is tried, as none could be had; what went wrong last. */
    private long restUntil;

    private Throwable cause;
    private int failures;
    private int refusals;

    Link(Core core) {
        this.core = core;
    }

    Connection connection() {
        return connection;
    }

    Throwable cause() {
        return cause;
    }

    /** Notes what went wrong, for calls whose time is up before they hear of it. */
    void failing(Throwable why) {
        cause = why;
    }

    /** Whether calls go over REST for now. */
    boolean noWebSocket() {
        return !core.settings.webSocket || (connection == null && Moment.now() < restUntil);
    }

    /** Ends the time for which no WebSocket is tried. */
    void tryWebSocket() {
        restUntil = 0;
    }

    /** Sees to a connection, unless somebody does. */
    void start() {
        if (linking || core.over || connection != null || noWebSocket()) {
            return;
        }
        linking = true;
        failures = 0;
        refusals = 0;
        connect();
    }

    private boolean wanted() {
        return !core.over && !(core.calls.isEmpty() && core.held.isEmpty() && core.subscribers.isEmpty());
    }

    private void connect() {
        if (!wanted()) {
            linking = false;
            return;
        }
        core.sweep();
        URI at = core.settings.endpoints.get(endpoint);
        handshake = new Handshake(core, at, session);
        Handshake next = handshake;
        core.guard.later(() -> core.work(next::start));
    }

    private void pause(Duration atLeast) {
        // All endpoints have their turn before the pauses grow.
        int round = (failures - 1) / core.settings.endpoints.size();
        var unused = core.after(Backoff.delay(round, Moment.nanos(atLeast)), this::connect);
    }

    /** Takes in a frame of what is not the connection yet, or not any more. */
    void handle(Connection n, String type, JsonObject frame, String text) {
        if (handshake != null && handshake.connection() == n) {
            handshake.handle(type, frame, text);
        }
    }

    /** A connection was made and welcomed: everything under way is asked again over it. */
    void welcomed(Handshake h, Connection n, String newSession, Instant time, long sent) {
        if (handshake != h) {
            return;
        }
        handshake = null;
        connection = n;
        session = newSession;
        restUntil = 0;
        cause = null;
        core.clock.forget();
        core.clock.learn(time, sent, Moment.now());
        Core.LOG.log(Level.DEBUG, "connected to {0}, resumed: {1}", core.settings.endpoints.get(endpoint), n.resumed);
        n.watch();
        core.calls.all().forEach(k -> resend(n, k));
        if (!n.resumed) { // nobody tells of what became of the locks: a renewal does
            List.copyOf(core.held.values()).forEach(core.calls::probe);
        }
        List.copyOf(core.subscribers).forEach(Subscriber::subscribe);
    }

    /** Sends a call over a new connection. */
    private void resend(Connection n, Call k) {
        switch (k.kind) {
            case SUBSCRIBE, UNSUBSCRIBE -> { // they are the old connection's
                core.calls.forget(k);
                return;
            }
            case RENEW -> {
                if (k.hold != null && !k.hold.lasts()) {
                    core.calls.end(k, Answer.failed(Problem.released(k.name)));
                    return;
                }
            }
            case ACQUIRE -> {
                if (k.first != 0) { // the same requestId keeps the place
                    core.calls.rename(k);
                }
            }
            case RELEASE -> {}
        }
        if (!core.calls.put(n, k)) {
            core.calls.end(k, Answer.failed(Problem.tooLarge(k.name)));
        } else if (k.kind == Call.Kind.ACQUIRE && k.unattended) {
            core.calls.takeBack(k);
        }
    }

    /** There was no connection, for a reason. */
    void refused(Handshake h, LockException why) {
        if (handshake != h || core.over) {
            return;
        }
        handshake = null;
        failures++;
        refusals += why instanceof NoWebSocketException ? 1 : 0;
        cause = why;
        Core.LOG.log(Level.DEBUG, "no connection to {0}: {1}", core.settings.endpoints.get(endpoint), why.getMessage());
        next();
        if (!Problem.retryable(why)) { // of the token, or of the clientId: it will be the same next time
            linking = false;
            core.calls.endAll(why);
            endSubscribers(why);
        } else if (refusals >= core.settings.endpoints.size()) {
            linking = false;
            restUntil = Moment.now() + REST_FOR;
            goOverRest();
        } else {
            pause(why.getRetryAfter());
        }
    }

    private void next() {
        endpoint = (endpoint + 1) % core.settings.endpoints.size();
    }

    private void goOverRest() {
        LockException none = new NoWebSocketException("the handshake was refused everywhere");
        for (Call k : core.calls.all()) {
            if (k.unattended && k.kind == Call.Kind.RELEASE) {
                core.rest.giveBack(k.name, k.secret);
            }
            core.calls.end(k, Answer.failed(none));
        }
        endSubscribers(none);
    }

    private void endSubscribers(LockException why) {
        List.copyOf(core.subscribers).forEach(s -> s.end(why));
    }

    /** A connection has ended: the next is tried at once where that was to be expected. */
    void ended(Connection n, Throwable why) {
        if (handshake != null && handshake.connection() == n) {
            handshake.failed(why);
            return;
        }
        if (connection != n) {
            return;
        }
        connection = null;
        if (core.over) {
            return;
        }
        cause = why instanceof IOException ? why : new IOException("the connection broke: " + why, why);
        next();
        Core.LOG.log(Level.DEBUG, "the connection ended: {0}", why);
        if (n.closeCode
                == NORMAL_CLOSURE) { // the session went on elsewhere: two would take it from each other for ever
            session = "";
        } else if (n.closeCode == TOO_BIG || n.closeCode == BAD_FRAME) {
            endSent(why.getMessage()); // sent again, it would end the next connection too
        }
        refusals = 0;
        boolean calmly = Moment.now() - n.opened > SETTLED_AFTER || n.draining || n.closeCode == GOING_AWAY;
        failures = calmly ? 1 : failures + 1;
        if (failures == 1) {
            connect();
        } else {
            failures = Math.min(failures, MOST_SHORT_LIVED); // it is there, after all
            pause(Duration.ZERO);
        }
    }

    private void endSent(String why) {
        Problem p = Problem.local(Problem.INVALID, 400, "The service refused a frame", why);
        for (Call k : core.calls.all()) {
            if (k.first != 0) {
                core.calls.end(k, Answer.failed(LockException.of(p.about(k.name), null)));
            }
        }
    }

    /** Ends the connection as the client ends. The guard is not held. */
    void close() {
        Connection n = core.guard.get(() -> {
            Connection last = connection;
            connection = null;
            if (handshake != null) {
                handshake.stop();
                handshake = null;
            }
            return last;
        });
        if (n != null) {
            n.bye();
        }
    }
}

package distributedlock;

import com.google.gson.JsonObject;
import com.google.gson.JsonParseException;
import java.io.IOException;
import java.lang.System.Logger.Level;
import java.time.Duration;
import java.time.Instant;
import java.util.List;

/** Does what the frames tell. */
final class Inbox {
    private final Core core;

    Inbox(Core core) {
        this.core = core;
    }

    /** Takes in a frame. Those of a connection that another has followed are nothing any more. */
    void handle(Connection n, String text) {
        long received = Moment.now();
        JsonObject frame = Json.object(text);
        if (frame == null) {
            return;
        }
        String type = Json.text(frame, "type");
        core.guard.run(() -> {
            if (core.link.connection() == n) {
                handle(n, type, frame, text, received);
            } else {
                core.link.handle(n, type, frame, text);
            }
        });
    }

    private void handle(Connection n, String type, JsonObject frame, String text, long received) {
        long id = id(frame);
        Call k = core.calls.get(id);
        switch (type) {
            case "granted" -> granted(k, Grant.read(frame), received);
            case "released" -> {
                if (k != null) {
                    core.calls.end(k, Answer.released(Json.seconds(frame, "heldFor")));
                }
            }
            case "renewed" -> renewed(k, Grant.read(frame), received);
            case "queued" -> queued(k, id, frame, received);
            case "position" -> position(k, id, Json.integer(frame, "position"));
            case "error" -> failed(k, id, text);
            case "lost" -> lost(frame);
            case "subscribed" -> subscribed(n, k, Json.text(frame, "subscription"));
            case "unsubscribed" -> {
                if (k != null) {
                    core.calls.end(k, Answer.DONE);
                }
            }
            case "event" -> event(n, frame);
            case "draining" -> {
                n.draining = true;
                if (core.settings.endpoints.size() > 1) {
                    n.kill(new IOException("the node shuts down"));
                }
            }
            default -> {} // of a later version
        }
    }

    private static long id(JsonObject frame) {
        try {
            return Long.parseLong(Json.text(frame, "id"));
        } catch (NumberFormatException e) {
            return 0;
        }
    }

    /** Gives a grant to whoever asked for it, or back where nobody wants it. */
    private void granted(Call asked, Grant g, long received) {
        boolean acquire = asked != null && asked.kind == Call.Kind.ACQUIRE;
        Call k = acquire ? asked : core.calls.wanting(g.name(), g.requestId());
        Hold known = core.held.get(g.lockId());
        if (k == null) {
            if (known == null
                    && !core.lapsed(g.lockId())
                    && !core.calls.releasing(g.lockId())) { // else a repeat: the place was asked for more than once
                core.calls.giveBack(g.name(), g.lockId());
            }
            return;
        }
        if (known != null || k.unattended) {
            if (known == null) { // before the end of the call, which may be all that the client's end waits for
                core.calls.giveBack(g.name(), g.lockId());
            }
            core.calls.end(k, Answer.granted(known));
            return;
        }
        if (!k.queued && k.older.isEmpty()) {
            core.clock.learn(g.now(), k.first, received);
        } else {
            core.clock.doubt(g.now(), received);
        }
        // The service counts the wait from the last time it was asked.
        Duration waited = k.since == 0 ? g.waited() : max(g.waited(), Duration.ofNanos(received - k.request.begin));
        core.calls.end(k, Answer.granted(Hold.granted(core, k.request, g, waited, k.first, received)));
    }

    static Duration max(Duration a, Duration b) {
        return a.compareTo(b) > 0 ? a : b;
    }

    private void renewed(Call k, Grant g, long received) {
        if (k == null || k.kind != Call.Kind.RENEW) {
            return;
        }
        core.clock.learn(g.now(), k.first, received);
        if (k.hold != null) { // it knows of it before the caller does
            k.hold.extend(Lease.renewed(g.ttl(), k.sent, received));
        }
        core.calls.end(k, Answer.renewed(g.renewal()));
    }

    private void queued(Call k, long id, JsonObject frame, long received) {
        if (k == null || k.request == null || k.id != id) {
            return;
        }
        k.queued = true;
        k.since = k.since == 0 ? received : k.since;
        if (k.request.onQueued == null || k.unattended) {
            return;
        }
        try {
            Place place = Json.GSON.fromJson(frame, Place.class);
            moved(k, place);
        } catch (JsonParseException e) {
            Core.LOG.log(Level.DEBUG, "a place that cannot be read", e);
        }
    }

    private void position(Call k, long id, int position) {
        if (k != null && k.request != null && k.id == id && k.request.onQueued != null && !k.unattended) {
            moved(k, new Place(position, k.place == null ? List.of() : k.place.holders()));
        }
    }

    private void moved(Call k, Place place) {
        if (k.place == null || k.place.position() != place.position()) {
            k.place = place;
            k.moved.accept(place);
        }
    }

    /** Ends a call with an error, unless the error is that of an ask which a later one has followed. */
    private void failed(Call k, long id, String text) {
        if (k == null) {
            return; // of a cancel, or of what is over
        }
        LockException e = LockException.of(Problem.read(text, 0).about(k.name), null);
        boolean ofThePast =
                e.getCode().equals(Problem.WAIT_TIMEOUT) || e.getCode().equals("cancelled") || k.unattended;
        if (k.id != id && ofThePast) {
            core.calls.answered(k, id);
            return;
        }
        boolean repeated = k.kind == Call.Kind.RELEASE || k.kind == Call.Kind.SUBSCRIBE;
        if (k.unattended && repeated && core.calls.again(k, e)) {
            return;
        }
        if (k.kind == Call.Kind.SUBSCRIBE) {
            k.subscriber.end(e);
        }
        if (k.kind == Call.Kind.RENEW && k.hold != null && Problem.gone(e)) {
            k.hold.lose(Hold.UNKNOWN);
        }
        core.calls.end(k, Answer.failed(e));
    }

    private void lost(JsonObject frame) {
        Hold hold = core.held.get(Json.text(frame, "lockId"));
        if (hold != null) {
            hold.lose(
                    switch (Json.text(frame, "reason")) {
                        case "expired" -> "its lease ran out";
                        case "force_released" -> "an admin took it";
                        default -> Hold.UNKNOWN;
                    });
        }
    }

    private void subscribed(Connection n, Call k, String name) {
        if (k != null && k.kind == Call.Kind.SUBSCRIBE) {
            k.subscriber.lives(n, name, Instant.now());
            core.calls.end(k, Answer.DONE);
        }
    }

    private void event(Connection n, JsonObject frame) {
        Subscriber s = n.subscribers.get(Json.text(frame, "subscription"));
        if (s == null) {
            return;
        }
        try {
            s.tell(Json.GSON.fromJson(frame, LockEvent.class));
        } catch (JsonParseException e) {
            Core.LOG.log(Level.DEBUG, "an event that cannot be read", e);
        }
    }
}

package distributedlock;

import java.time.Instant;
import java.util.Collection;
import java.util.List;
import java.util.Optional;

/** One subscription, over all connections. */
final class Subscriber {
    private final Core core;
    private final List<String> locks;
    private final List<String> events;
    private final LockEventListener listener;
    private final Mailbox<LockEvent> mailbox;
    /** The service's name of it on the current connection, and whether there ever was one. */
    private String name;

    private boolean lived;

    Subscriber(Core core, Collection<String> locks, Collection<String> events, LockEventListener listener) {
        this.core = core;
        this.locks = locks.isEmpty() ? List.of("*") : List.copyOf(locks);
        this.events = List.copyOf(events);
        this.listener = listener;
        mailbox = new Mailbox<>(core, listener::onEvent, LockEvent.gap(Instant.now()));
    }

    void start() {
        core.guard.run(() -> {
            core.subscribers.add(this);
            if (core.link.noWebSocket()) {
                end(new NoWebSocketException("a subscription needs one"));
            } else if (core.link.connection() != null) {
                subscribe();
            } else {
                core.link.start();
            }
        });
    }

    /** Adds the members of its frame. */
    void addTo(Body b) {
        b.raw("locks", Json.GSON.toJson(locks));
        if (!events.isEmpty()) {
            b.raw("events", Json.GSON.toJson(events));
        }
    }

    /** Asks for it, over a connection that does not know it yet. The guard is held. */
    void subscribe() {
        name = null;
        Call k = new Call(Call.Kind.SUBSCRIBE, "", "");
        k.subscriber = this;
        k.unattended = true;
        try {
            core.calls.submit(k);
        } catch (LockException e) {
            end(e);
        }
    }

    /** The service tells of it under that name from now on. The guard is held. */
    void lives(Connection n, String newName, Instant now) {
        if (!core.subscribers.contains(this)) {
            unsubscribe(newName);
            return;
        }
        name = newName;
        n.subscribers.put(name, this);
        if (lived) {
            tell(LockEvent.gap(now));
        }
        lived = true;
    }

    void tell(LockEvent e) {
        mailbox.post(e);
    }

    /** Ends it with an error, behind what came before. The guard is held. */
    void end(LockException why) {
        core.subscribers.remove(this);
        mailbox.end(() -> listener.onEnd(Optional.of(why)));
    }

    void close() {
        core.guard.run(() -> {
            if (!core.subscribers.remove(this)) {
                return;
            }
            mailbox.discard(() -> listener.onEnd(Optional.empty()));
            Connection n = core.link.connection();
            if (n != null && name != null && !core.closed) { // one that is only just being answered is ended then
                n.subscribers.remove(name);
                unsubscribe(name);
            }
        });
    }

    private void unsubscribe(String its) {
        if (core.closed) {
            return;
        }
        Call k = new Call(Call.Kind.UNSUBSCRIBE, "", its);
        k.unattended = true;
        core.calls.submit(k);
    }
}

package distributedlock;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Future;
import java.util.function.Consumer;

/** A frame that waits for its answer, over as many connections as it takes. The client's guard protects it. */
final class Call {
    enum Kind {
        ACQUIRE,
        RELEASE,
        RENEW,
        SUBSCRIBE,
        UNSUBSCRIBE
    }

    /** A wait is asked for anew a sixth of its time before it ends, which keeps the place. */
    private static final int LEAD = 6;

    final Kind kind;
    final String name;
    /** What a release or renewal is authorized by, or the subscription's name. */
    final String secret;
    /** Of an acquire. */
    final Request request;

    long id;
    /** The ids that an acquire had before: each ask is answered. */
    final List<Long> older = new ArrayList<>(0);
    /** The lease that a renewal asks for; 0: the lease's own. */
    long ttl;

    Subscriber subscriber;
    /** Whose renewal it is, if any lock's. */
    Hold hold;
    /** When it was first and last sent, and first told to wait. */
    long first;

    long sent;
    long since;
    /** Whether the last frame was told to wait. */
    boolean queued;
    /** Whether nobody waits for the answer any more: a grant goes back. */
    boolean unattended;
    /** Whether it is out of the table of calls. */
    boolean ended;
    /** Until when its answer is waited for, and how long the node may say nothing. */
    long until = Moment.NEVER;

    long patience;
    Future<?> look;
    Place place;
    /** Is told the answer, once, without the guard. */
    Consumer<Answer> told = a -> {};
    /** Is told of a new place in line, under the guard. */
    Consumer<Place> moved = p -> {};
    /** How long the last frame asked to wait, and until when. */
    private long asked;

    private long askedEnd;

    Call(Kind kind, String name, String secret) {
        this(kind, name, secret, null);
    }

    Call(Request request) {
        this(Kind.ACQUIRE, request.name, "", request);
    }

    private Call(Kind kind, String name, String secret, Request request) {
        this.kind = kind;
        this.name = name;
        this.secret = secret;
        this.request = request;
    }

    /** Whether the end of a connection, or of the client, has to wait for it. */
    boolean loose() {
        return unattended || kind == Kind.RELEASE;
    }

    /** When a wait must be asked for anew. */
    long refreshAt() {
        boolean whole = kind != Kind.ACQUIRE || asked == 0 || request.end <= askedEnd;
        return whole ? Moment.NEVER : askedEnd - asked / LEAD;
    }

    /** The frame, which asks to wait for no more than the longest. */
    String frame(long now, long longest) {
        Body b = Body.frame(kind.name().toLowerCase(Locale.ROOT), id);
        switch (kind) {
            case ACQUIRE -> {
                asked = chunk(now, longest);
                askedEnd = now + asked;
                request.addTo(b.text("lockName", name), asked);
            }
            case RELEASE -> b.text("lockName", name).text("lockId", secret);
            case RENEW -> {
                b.text("lockName", name).text("renewalToken", secret);
                if (ttl != 0) {
                    b.seconds("timeout", ttl);
                }
            }
            case SUBSCRIBE -> subscriber.addTo(b);
            case UNSUBSCRIBE -> b.text("subscription", secret);
        }
        return b.toString();
    }

    private long chunk(long now, long longest) {
        if (request.triesOnce()) {
            return 0;
        }
        return Math.min(Math.max(request.end - now, Moment.MILLI), longest);
    }
}

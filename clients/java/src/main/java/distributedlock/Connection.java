package distributedlock;

import java.io.IOException;
import java.net.http.WebSocket;
import java.nio.ByteBuffer;
import java.util.HashMap;
import java.util.Map;
import java.util.Queue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;

/** One WebSocket connection: it reads and writes frames, and watches whether the node still says something. */
final class Connection implements WebSocket.Listener {
    /**
     * While something is under way, a connection that has said nothing for so long is asked for a sign of life, and is given
     * up when it has said nothing for the silence.
     */
    private static final long PING_AFTER = 4 * Moment.SECOND;

    private static final long SILENCE = 8 * Moment.SECOND;
    private static final long BYE_PATIENCE = 100 * Moment.MILLI;

    private final Core core;
    private final Queue<String> out = new ConcurrentLinkedQueue<>();
    private final AtomicInteger pumping = new AtomicInteger();
    private final AtomicBoolean killed = new AtomicBoolean();
    private final StringBuilder part = new StringBuilder();
    private volatile WebSocket socket;
    private volatile long heard = Moment.now();
    private Future<?> tick;
    private boolean pinging;

    /** When it was opened, whether its session went on, and how often the node gives a sign of life. */
    final long opened = Moment.now();

    boolean resumed;
    long heartbeat;
    /** Whether the node said that it shuts down. */
    boolean draining;
    /** What the node closed it with; 0 where it did not. */
    int closeCode;
    /** The subscriptions by the service's names. */
    final Map<String, Subscriber> subscribers = new HashMap<>();

    Connection(Core core) {
        this.core = core;
    }

    static IOException silent() {
        return new IOException("the node says nothing any more");
    }

    /** For how long nothing has been read. */
    long quiet() {
        return Moment.now() - heard;
    }

    boolean dead() {
        return killed.get();
    }

    /** Names the socket, before anything is sent. */
    void attach(WebSocket ws) {
        socket = ws;
    }

    @Override
    public void onOpen(WebSocket ws) {
        ws.request(1);
    }

    @Override
    public CompletionStage<?> onText(WebSocket ws, CharSequence data, boolean last) {
        heard = Moment.now();
        part.append(data);
        if (last) {
            String frame = part.toString();
            part.setLength(0);
            core.inbox.handle(this, frame);
        }
        ws.request(1);
        return null;
    }

    @Override
    public CompletionStage<?> onBinary(WebSocket ws, ByteBuffer data, boolean last) {
        heard = Moment.now();
        ws.request(1);
        return null;
    }

    @Override
    public CompletionStage<?> onPing(WebSocket ws, ByteBuffer message) {
        heard = Moment.now();
        ws.request(1);
        return null; // the JDK answers it
    }

    @Override
    public CompletionStage<?> onPong(WebSocket ws, ByteBuffer message) {
        heard = Moment.now();
        ws.request(1);
        return null;
    }

    @Override
    public CompletionStage<?> onClose(WebSocket ws, int code, String reason) {
        core.guard.run(() -> {
            closeCode = code;
            kill(new IOException("the node closed the connection: " + code + " " + reason));
        });
        return null;
    }

    @Override
    public void onError(WebSocket ws, Throwable error) {
        core.guard.run(() -> kill(error));
    }

    /** Sends a frame behind those before it. The guard is held. */
    void send(String frame) {
        out.add(frame);
        core.guard.later(this::pump);
    }

    /** Writes what there is, one frame after another: the socket takes the next when it is done with the last. */
    private void pump() {
        if (socket == null || pumping.getAndIncrement() != 0) {
            return;
        }
        drain(1);
    }

    private void drain(int seen) {
        int missed = seen;
        do {
            for (String frame = out.poll(); frame != null; frame = out.poll()) {
                CompletableFuture<WebSocket> written = write(frame);
                if (!written.isDone()) {
                    int from = missed;
                    var unused = written.whenComplete((ws, e) -> goOn(from, e));
                    return;
                }
                if (written.isCompletedExceptionally()) {
                    goOn(missed, new IOException("the connection broke"));
                    return;
                }
            }
            missed = pumping.addAndGet(-missed);
        } while (missed != 0);
    }

    private CompletableFuture<WebSocket> write(String frame) {
        try {
            return socket.sendText(frame, true);
        } catch (IllegalStateException e) {
            return CompletableFuture.failedFuture(e);
        }
    }

    private void goOn(int missed, Throwable error) {
        if (error == null) {
            drain(missed);
        } else {
            failed(error);
        }
    }

    private void failed(Throwable error) {
        if (error != null) {
            core.guard.run(() -> kill(error));
        }
    }

    /** Sends a ping of the protocol's: where the connection has ended, the second fails. The guard is held. */
    void ping() {
        core.guard.later(() -> {
            var unused = socket.sendPing(ByteBuffer.allocate(0)).whenComplete((ws, e) -> failed(e));
        });
    }

    /** Begins to look, now and then, after the locks and whether the node lives. The guard is held. */
    void watch() {
        tick = core.after(PING_AFTER / 2, () -> {
            if (!dead()) {
                core.sweep();
                look();
                watch();
            }
        });
    }

    private void look() {
        long quiet = quiet();
        boolean busy = !core.calls.isEmpty() || !core.held.isEmpty();
        if (!busy || quiet < PING_AFTER) {
            pinging = false;
        } else if (!pinging) {
            pinging = true;
            send("{\"type\":\"ping\"}");
        } else if (quiet > SILENCE) {
            kill(silent());
        }
        if (heartbeat > 0 && quiet > 2 * heartbeat + heartbeat / 4) {
            kill(silent());
        }
    }

    /** Ends the connection at once, whatever the node has to say. The guard is held. */
    void kill(Throwable cause) {
        if (!killed.compareAndSet(false, true)) {
            return;
        }
        Core.cancel(tick);
        core.guard.later(() -> {
            if (socket != null) {
                socket.abort();
            }
        });
        core.link.ended(this, cause);
    }

    /** Closes it with a close frame, as the client ends. */
    void bye() {
        if (!killed.compareAndSet(false, true) || socket == null) {
            return;
        }
        Core.cancel(tick);
        CompletableFuture<WebSocket> sent = socket.sendClose(WebSocket.NORMAL_CLOSURE, "");
        Waiting.patiently(BYE_PATIENCE, left -> {
            try {
                sent.get(left, TimeUnit.NANOSECONDS);
                return true;
            } catch (ExecutionException | TimeoutException e) {
                return false;
            }
        });
        socket.abort();
    }
}

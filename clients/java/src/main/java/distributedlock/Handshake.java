package distributedlock;

import com.google.gson.JsonObject;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpConnectTimeoutException;
import java.net.http.HttpResponse;
import java.net.http.HttpTimeoutException;
import java.net.http.WebSocket;
import java.net.http.WebSocketHandshakeException;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.Future;

/** One try to connect to an endpoint and to be welcomed. */
final class Handshake {
    private static final String SUBPROTOCOL = "distributed-lock.v1";
    /** How long a node may take to shake hands, and then to answer the hello, for which it asks Redis. */
    private static final Duration DIAL_PATIENCE = Duration.ofSeconds(4);

    private static final long HELLO_PATIENCE = 6 * Moment.SECOND;
    private static final long PING_EVERY = 300 * Moment.MILLI;

    private final Core core;
    private final URI endpoint;
    private final String session;
    private final Connection connection;
    private Future<?> patience;
    private long sent;
    private boolean done;

    Handshake(Core core, URI endpoint, String session) {
        this.core = core;
        this.endpoint = endpoint;
        this.session = session;
        connection = new Connection(core);
    }

    Connection connection() {
        return connection;
    }

    /** Begins. The guard is not held. */
    void start() {
        try {
            WebSocket.Builder b = core.rest
                    .http()
                    .newWebSocketBuilder()
                    .subprotocols(SUBPROTOCOL)
                    .connectTimeout(DIAL_PATIENCE);
            if (core.settings.token != null) {
                b.header("Authorization", "Bearer " + core.settings.token);
            }
            CompletableFuture<WebSocket> dial = b.buildAsync(Settings.socket(endpoint), connection);
            core.when(dial, this::dialed);
        } catch (IllegalArgumentException | LockException e) { // a token that no header can carry, or the client's end
            core.guard.run(() -> refuse(Problem.invalid("token", "cannot be sent: " + e.getMessage())));
        }
    }

    private void dialed(WebSocket ws, Throwable e) {
        if (done) {
            if (ws != null) {
                core.guard.later(ws::abort);
            }
            return;
        }
        if (e != null) {
            notDialed(e instanceof CompletionException && e.getCause() != null ? e.getCause() : e);
            return;
        }
        connection.attach(ws);
        sent = Moment.now();
        Body hello = Body.frame("hello", 0).text("clientId", core.settings.clientId);
        connection.send((session.isEmpty() ? hello : hello.text("session", session)).toString());
        awaitWelcome();
    }

    /** The JDK does not tell of a connection that ends right after the upgrade, but a few pings do. */
    private void awaitWelcome() {
        patience = core.after(PING_EVERY, () -> {
            if (done) {
                return;
            }
            if (Moment.now() - sent > HELLO_PATIENCE) {
                failed(Connection.silent());
            } else {
                connection.ping();
                awaitWelcome();
            }
        });
    }

    private void notDialed(Throwable e) {
        if (e instanceof WebSocketHandshakeException h) {
            answered(h.getResponse());
        } else if (e instanceof HttpTimeoutException && !(e instanceof HttpConnectTimeoutException)) {
            core.when(core.rest.lives(endpoint), (lives, x) -> {
                boolean swallowed = Boolean.TRUE.equals(lives);
                String why = endpoint.getHost() + " answers over REST and swallows the upgrade";
                refuse(swallowed ? new NoWebSocketException(why) : Problem.unavailable(e));
            });
        } else {
            refuse(Problem.unavailable(e));
        }
    }

    /** What a refused handshake means. */
    private void answered(HttpResponse<?> response) {
        int status = response.statusCode();
        LockException told = Rest.error("", response, "");
        if (status == 401
                || status == 403) { // why, the JDK keeps to itself: asked without an upgrade, the service says it
            core.when(
                    core.rest.refusal(endpoint, "/ws"),
                    (why, x) -> refuse(why != null && why.getStatus() == status ? why : told));
        } else if (status == 429 || (status >= 500 && status != 501)) {
            refuse(told);
        } else {
            refuse(new NoWebSocketException("the handshake was answered with " + status));
        }
    }

    /** Takes in a frame that comes before the welcome. The guard is held. */
    void handle(String type, JsonObject frame, String text) {
        switch (type) {
            case "error" -> refuse(LockException.of(Problem.read(text, 0), null));
            case "draining" -> failed(new IOException("the node shuts down"));
            case "welcome" -> {
                finish();
                connection.resumed = Json.flag(frame, "resumed");
                connection.heartbeat = Moment.nanos(Json.seconds(frame, "heartbeat"));
                core.link.welcomed(this, connection, Json.text(frame, "session"), Json.time(frame, "time"), sent);
            }
            default -> {} // of a later version
        }
    }

    /** The connection broke before the welcome. The guard is held. */
    void failed(Throwable why) {
        refuse(Problem.unavailable(why));
    }

    private void refuse(LockException why) {
        if (finish()) {
            connection.kill(why);
            core.link.refused(this, why);
        }
    }

    private boolean finish() {
        boolean first = !done;
        done = true;
        Core.cancel(patience);
        return first;
    }

    /** Gives up, as the client ends; what is dialed all the same is dropped then. The guard is held. */
    void stop() {
        finish();
        connection.kill(Problem.closed());
    }
}

package distributedlock;

import java.net.InetAddress;
import java.net.UnknownHostException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import javax.net.ssl.SSLContext;

/** Says how a {@link DistributedLockClient} is to be. */
public final class DistributedLockClientBuilder {
    private static final Duration HTTP_TIMEOUT = Duration.ofSeconds(10);
    private static final int LONGEST_HOST = 100;
    private static final int SHORT_ID = 8;

    private final List<String> endpoints = new ArrayList<>();
    private String token;
    private String clientId;
    private SSLContext tls;
    private boolean webSocket = true;
    private Duration httpTimeout = HTTP_TIMEOUT;
    private boolean autoRenew;
    private String owner;

    DistributedLockClientBuilder() {}

    /**
     * Adds nodes, or addresses of the service. The client uses one at a time and goes to the next, in the order given, when
     * one fails.
     *
     * @param urls {@code http://host:port} or {@code https://host:port} each
     * @return this
     */
    public DistributedLockClientBuilder endpoints(String... urls) {
        Collections.addAll(endpoints, urls);
        return this;
    }

    /**
     * Says who the program is.
     *
     * @param bearer the bearer token; null or empty for none
     * @return this
     */
    public DistributedLockClientBuilder token(String bearer) {
        token = bearer == null || bearer.isEmpty() ? null : bearer;
        return this;
    }

    /**
     * Says who the client is to the service. The default is made of host, process id and chance.
     *
     * @param id 1 to 256 bytes; null or empty for the default
     * @return this
     */
    public DistributedLockClientBuilder clientId(String id) {
        clientId = id == null || id.isEmpty() ? null : id;
        return this;
    }

    /**
     * Says how to speak TLS, for https addresses.
     *
     * @param context the context; null for the JDK's default
     * @return this
     */
    public DistributedLockClientBuilder sslContext(SSLContext context) {
        tls = context;
        return this;
    }

    /**
     * Says whether to use a WebSocket. Over REST alone, each wait is a connection of its own, and a loss that is not the
     * lease's end is noticed late.
     *
     * @param use whether to; the default is true
     * @return this
     */
    public DistributedLockClientBuilder webSocket(boolean use) {
        webSocket = use;
        return this;
    }

    /**
     * Says how long a REST call may take, waits in line aside.
     *
     * @param timeout the time; the default is 10 s
     * @return this
     */
    public DistributedLockClientBuilder httpTimeout(Duration timeout) {
        httpTimeout = timeout;
        return this;
    }

    /**
     * Says whether locks are renewed where {@link LockOptions} say nothing of it.
     *
     * @param renew whether they are; the default is false
     * @return this
     */
    public DistributedLockClientBuilder defaultAutoRenew(boolean renew) {
        autoRenew = renew;
        return this;
    }

    /**
     * Makes all that the client acquires one owner's, instead of {@link LockOwner#current}, where {@link LockOptions} name
     * none.
     *
     * @param id 1 to 256 bytes; null for an owner a thread
     * @return this
     */
    public DistributedLockClientBuilder owner(String id) {
        owner = id;
        return this;
    }

    /**
     * Makes the client.
     *
     * @return a client that has not connected yet
     * @throws InvalidArgumentException where there is no endpoint, or one cannot be an address
     */
    public DistributedLockClient build() {
        return new DistributedLockClient(this);
    }

    Settings settings() {
        String id = clientId == null ? defaultClientId() : clientId;
        return new Settings(endpoints, token, id, tls, webSocket, httpTimeout, autoRenew, owner);
    }

    /** Tells people where the client runs. */
    private static String defaultClientId() {
        String host = host();
        host = host.length() > LONGEST_HOST ? host.substring(0, LONGEST_HOST) : host;
        return host + "-" + ProcessHandle.current().pid() + "-"
                + LockOwner.newId().substring(0, SHORT_ID);
    }

    private static String host() {
        String told = System.getenv("HOSTNAME");
        if (told != null && !told.isEmpty()) {
            return told;
        }
        try {
            return InetAddress.getLocalHost().getHostName();
        } catch (UnknownHostException e) {
            return "unknown";
        }
    }
}

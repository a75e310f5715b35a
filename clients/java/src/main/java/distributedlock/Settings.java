package distributedlock;

import java.net.URI;
import java.net.URISyntaxException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import javax.net.ssl.SSLContext;

/** What a client was made with. */
final class Settings {
    final List<URI> endpoints;
    final String token;
    final String clientId;
    final SSLContext tls;
    final boolean webSocket;
    final long httpTimeout;
    final boolean autoRenew;
    final String owner;

    Settings(
            List<String> endpoints,
            String token,
            String clientId,
            SSLContext tls,
            boolean webSocket,
            Duration httpTimeout,
            boolean autoRenew,
            String owner) {
        this.endpoints = parse(endpoints);
        this.token = token;
        this.clientId = clientId;
        this.tls = tls;
        this.webSocket = webSocket;
        this.httpTimeout = Moment.nanos(httpTimeout);
        this.autoRenew = autoRenew;
        this.owner = owner;
    }

    private static List<URI> parse(List<String> endpoints) {
        if (endpoints.isEmpty()) {
            throw Problem.invalid("url", "is required");
        }
        List<URI> parsed = new ArrayList<>();
        for (String e : endpoints) {
            parsed.add(parse(e));
        }
        return List.copyOf(parsed);
    }

    private static URI parse(String endpoint) {
        try {
            URI u = new URI(endpoint);
            boolean http = "http".equalsIgnoreCase(u.getScheme()) || "https".equalsIgnoreCase(u.getScheme());
            if (!http || u.getHost() == null) {
                throw Problem.invalid("url", "must be http://host:port or https://host:port, not " + endpoint);
            }
            String path = u.getRawPath() == null ? "" : u.getRawPath().replaceAll("/+$", "");
            return new URI(u.getScheme() + "://" + u.getRawAuthority() + path);
        } catch (URISyntaxException e) {
            throw Problem.invalid("url", "cannot be read: " + e.getMessage());
        }
    }

    /** Where an endpoint speaks WebSocket. */
    static URI socket(URI endpoint) {
        return URI.create("ws" + endpoint.toString().substring("http".length()) + "/ws");
    }
}

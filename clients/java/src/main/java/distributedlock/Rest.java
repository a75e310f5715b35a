package distributedlock;

import com.google.gson.JsonObject;
import java.lang.reflect.InvocationTargetException;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Function;

/** Makes REST calls, to one endpoint after another where one fails. */
final class Rest {
    /** How long a node may take to accept a connection. */
    private static final Duration CONNECT_PATIENCE = Duration.ofSeconds(3);
    /** A longer Retry-After is nothing that a node of the service says. */
    private static final double MOST_RETRY_AFTER_SECONDS = 60;

    private final Core core;
    private final AtomicInteger endpoint = new AtomicInteger();
    private final Set<CompletableFuture<String>> flying = ConcurrentHashMap.newKeySet();
    /** Made by the first call that needs it, and let go at the end: where the JDK has no other way, its thread ends with it. */
    private HttpClient http;

    private boolean closed;

    Rest(Core core) {
        this.core = core;
    }

    HttpClient http() {
        return core.guard.get(() -> {
            if (closed) {
                throw Problem.closed();
            }
            if (http == null) {
                HttpClient.Builder b = HttpClient.newBuilder()
                        .connectTimeout(CONNECT_PATIENCE)
                        .version(HttpClient.Version.HTTP_1_1)
                        .executor(core::runForHttp);
                http = (core.settings.tls == null ? b : b.sslContext(core.settings.tls)).build();
            }
            return http;
        });
    }

    void close() {
        HttpClient last = core.guard.get(() -> {
            closed = true;
            HttpClient h = http;
            http = null;
            return h;
        });
        List.copyOf(flying).forEach(f -> f.completeExceptionally(Problem.closed()));
        if (last == null) {
            return;
        }
        try { // from Java 21 on; before, it ends when the garbage collector finds that nobody has it
            HttpClient.class.getMethod("shutdownNow").invoke(last);
        } catch (NoSuchMethodException e) {
            return;
        } catch (IllegalAccessException | InvocationTargetException e) {
            throw new IllegalStateException(e);
        }
    }

    static String encoded(String s) {
        return URLEncoder.encode(s, StandardCharsets.UTF_8)
                .replace("+", "%20")
                .replace("*", "%2A")
                .replace("%7E", "~");
    }

    static String lockPath(String name, String verb) {
        return "/locks/" + encoded(name) + (verb.isEmpty() ? "" : "/" + verb);
    }

    private RestCall post(String name, String verb, Body body) {
        return new RestCall("POST", lockPath(name, verb), body, name);
    }

    private Body body() {
        return Body.of(core.settings.clientId);
    }

    CompletableFuture<Grant> acquire(Request q, long wait, long until) {
        return read(send(post(q.name, "acquire", q.addTo(body(), wait)).within(wait, until)), Rest::grant);
    }

    RestCall release(String name, String lockId, long until) {
        return post(name, "release", body().text("lockId", lockId)).within(0, until);
    }

    CompletableFuture<Grant> renew(String name, String token, long ttl, long until) {
        Body b = body().text("renewalToken", token);
        return read(
                send(post(name, "renew", ttl == 0 ? b : b.seconds("timeout", ttl))
                        .within(0, until)),
                Rest::grant);
    }

    /** What an answer says. Cancelling it closes the request. */
    static <T> CompletableFuture<T> read(CompletableFuture<String> sent, Function<String, T> reader) {
        CompletableFuture<T> result = sent.thenApply(reader);
        var unused = result.whenComplete((value, e) -> {
            if (result.isCancelled()) {
                sent.cancel(true);
            }
        });
        return result;
    }

    /** Releases a grant, and nobody waits for that. The guard is held. */
    void giveBack(String name, String lockId) {
        if (core.over) {
            return;
        }
        core.calls.loosen();
        core.when(send(release(name, lockId, Moment.NEVER)), (text, e) -> {
            core.calls.loosened();
            if (e != null) {
                core.warn("lock \"{0}\" was not given back: {1}", name, e.getMessage());
            }
        });
    }

    static Grant grant(String text) {
        JsonObject o = Json.object(text);
        if (o == null) {
            throw Problem.unavailable(new IllegalStateException("an answer that is not the service's"));
        }
        return Grant.read(o);
    }

    /** What a call failed with. */
    static LockException failure(Throwable e) {
        Throwable why = Renewing.unwrapped(e);
        return why instanceof LockException told ? told : Problem.unavailable(why);
    }

    /**
     * Makes a call: twice to each endpoint at most, the second time after a pause. It fails with a {@link LockException};
     * cancelling the future closes the request.
     */
    CompletableFuture<String> send(RestCall q) {
        Exchange x = new Exchange(q);
        flying.add(x.result);
        var unused = x.result.whenComplete((text, e) -> {
            flying.remove(x.result);
            CompletableFuture<?> now = x.current;
            if (now != null && e != null) {
                now.cancel(true);
            }
        });
        x.next(null);
        return x.result;
    }

    /** A call under way, over all its tries. */
    private final class Exchange {
        private final RestCall call;
        private final CompletableFuture<String> result = new CompletableFuture<>();
        private volatile CompletableFuture<?> current;
        private int tries;

        Exchange(RestCall call) {
            this.call = call;
        }

        void next(LockException last) {
            int endpoints = core.settings.endpoints.size();
            if (tries == 2 * endpoints || Moment.now() >= call.until) {
                result.completeExceptionally(last == null ? Problem.unavailable(null) : last);
            } else if (tries == endpoints) {
                long pause = Backoff.delay(1, Backoff.floor(last.getRetryAfter()));
                if (core.after(pause, () -> core.guard.later(this::once)) == null) {
                    result.completeExceptionally(last);
                }
            } else if (!Core.onHttpThread()) {
                once();
            } else if (!core.work(this::once)) { // a look-up of a name may take its time
                result.completeExceptionally(Problem.closed());
            }
        }

        private void once() {
            if (result.isDone()) {
                return;
            }
            tries++;
            int at = endpoint.get();
            CompletableFuture<HttpResponse<String>> sent;
            try {
                sent = ask(core.settings.endpoints.get(at % core.settings.endpoints.size()), call);
            } catch (LockException e) {
                result.completeExceptionally(e);
                return;
            }
            current = sent;
            var unused = sent.whenComplete((response, e) -> answered(at, response, e));
            if (result.isDone()) { // it was cancelled just now
                sent.cancel(true);
            }
        }

        private void answered(int at, HttpResponse<String> response, Throwable e) {
            current = null;
            if (response != null && response.statusCode() == 200) {
                result.complete(response.body());
                return;
            }
            LockException why = response == null ? failure(e) : error(response.body(), response, call.name);
            if (!elsewhere(why)) {
                result.completeExceptionally(why);
                return;
            }
            core.guard.run(() -> core.link.failing(why));
            call.again = true;
            endpoint.compareAndSet(at, at + 1);
            next(why);
        }
    }

    /** Whether another endpoint may do better. */
    private static boolean elsewhere(LockException e) {
        return Problem.retryable(e) && !e.getCode().equals(Problem.RATE_LIMITED);
    }

    private CompletableFuture<HttpResponse<String>> ask(URI at, RestCall q) {
        long patience = Math.min(core.settings.httpTimeout + q.wait, q.until - Moment.now());
        HttpRequest.Builder b = HttpRequest.newBuilder(URI.create(at + q.path))
                .timeout(Duration.ofNanos(Math.max(patience, Moment.MILLI)))
                .header("User-Agent", "distributedlock-java");
        if (core.settings.token != null) {
            b.header("Authorization", "Bearer " + core.settings.token);
        }
        if (q.body == null) {
            b.method(q.method, HttpRequest.BodyPublishers.noBody());
        } else {
            b.header("Content-Type", "application/json")
                    .method(q.method, HttpRequest.BodyPublishers.ofString(q.body.toString()));
        }
        return http().sendAsync(b.build(), HttpResponse.BodyHandlers.ofString());
    }

    /** Asks one endpoint for a sign of life. */
    CompletableFuture<Boolean> lives(URI at) {
        return once(at, "/livez").handle((r, e) -> r != null && r.statusCode() == 200);
    }

    /** Why an endpoint refuses a path; null where it does not. */
    CompletableFuture<LockException> refusal(URI at, String path) {
        return once(at, path).handle((r, e) -> r == null || r.statusCode() == 200 ? null : error(r.body(), r, ""));
    }

    private CompletableFuture<HttpResponse<String>> once(URI at, String path) {
        try {
            RestCall q = RestCall.get(path, "");
            return ask(at, q.within(0, Moment.now() + Moment.nanos(CONNECT_PATIENCE)));
        } catch (LockException e) {
            return CompletableFuture.failedFuture(e);
        }
    }

    /** The error that an answer is. */
    static LockException error(String body, HttpResponse<?> response, String name) {
        Problem p =
                Problem.read(body == null ? "" : body, response.statusCode()).about(name);
        Duration retryAfter =
                response.headers().firstValue("Retry-After").map(Rest::seconds).orElse(Duration.ZERO);
        return LockException.of(retryAfter.isZero() ? p : p.retryAfter(retryAfter), null);
    }

    private static Duration seconds(String header) {
        try {
            double n = Double.parseDouble(header);
            return n >= 0 && n <= MOST_RETRY_AFTER_SECONDS ? Duration.ofNanos((long) (n * 1e9)) : Duration.ZERO;
        } catch (NumberFormatException e) {
            return Duration.ZERO;
        }
    }
}

package distributedlock;

import com.google.gson.JsonParseException;
import java.util.ArrayDeque;
import java.util.Iterator;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.Spliterator;
import java.util.Spliterators;
import java.util.concurrent.CompletableFuture;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;

/** What is asked over REST, whatever else there is. */
final class Queries {
    private static final int PAGE = 1000;

    private final Core core;

    Queries(Core core) {
        this.core = core;
    }

    /** Makes a call and waits for its answer; interrupted, it gives the call up. */
    String text(RestCall q) {
        LockException refusal = core.refusal();
        if (refusal != null) {
            throw refusal;
        }
        CompletableFuture<String> sent = core.rest.send(q);
        return Waiting.interruptibly(sent, q.name, () -> sent.cancel(true));
    }

    <T> T get(String path, String name, Class<T> type) {
        return read(text(RestCall.get(path, name)), type);
    }

    private static <T> T read(String text, Class<T> type) {
        try {
            T t = Json.GSON.fromJson(text, type);
            if (t != null) {
                return t;
            }
        } catch (JsonParseException e) {
            throw Problem.unavailable(e);
        }
        throw Problem.unavailable(new IllegalStateException("an answer that is not the service's"));
    }

    private record Page(List<LockStatus> locks, String nextCursor) {}

    Stream<LockStatus> list(String prefix) {
        int traits = Spliterator.ORDERED | Spliterator.NONNULL | Spliterator.IMMUTABLE;
        return StreamSupport.stream(Spliterators.spliteratorUnknownSize(new Pages(prefix), traits), false);
    }

    /** The locks of a listing, page by page. */
    private final class Pages implements Iterator<LockStatus> {
        private final String query;
        private final ArrayDeque<LockStatus> page = new ArrayDeque<>();
        private String cursor = "";

        Pages(String prefix) {
            query = "/locks?limit=" + PAGE + (prefix.isEmpty() ? "" : "&prefix=" + Rest.encoded(prefix));
        }

        @Override
        public boolean hasNext() {
            while (page.isEmpty() && cursor != null) {
                String at = cursor.isEmpty() ? query : query + "&cursor=" + Rest.encoded(cursor);
                Page next = get(at, "", Page.class);
                page.addAll(next.locks() == null ? List.of() : next.locks());
                cursor = next.nextCursor();
            }
            return !page.isEmpty();
        }

        @Override
        public LockStatus next() {
            if (!hasNext()) {
                throw new NoSuchElementException();
            }
            return page.remove();
        }
    }

    private record Forced(List<Holder> holders) {}

    List<Holder> forceRelease(String name, String reason) {
        String query = reason == null || reason.isEmpty() ? "" : "?reason=" + Rest.encoded(reason);
        RestCall q = new RestCall("DELETE", Rest.lockPath(Request.checkName(name), "") + query, null, name);
        Forced f = read(text(q), Forced.class);
        return f.holders() == null ? List.of() : List.copyOf(f.holders());
    }
}

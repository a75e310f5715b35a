package distributedlock;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import java.io.IOException;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.HashSet;
import java.util.Set;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;

/** Names in paths, delays between tries, and the ends of leases, as all SDKs have them. */
class VectorsTest {
    private static final Pattern PCHARS = Pattern.compile("[A-Za-z0-9\\-._~!$&'()*+,;=:@%]+");

    @Test
    void namesStandInPaths() throws IOException {
        int legal = 0;
        for (JsonObject v : Vectors.read("names.json")) {
            if (v.has("bytes")) {
                continue; // no text, which is all that Java has for names
            }
            String name = v.has("utf16") ? utf16(v) : v.get("name").getAsString();
            if (v.get("legal").getAsBoolean()) {
                legal++;
                assertEquals(name, Request.checkName(name));
                String path = Rest.lockPath(name, "");
                assertTrue(path.startsWith("/locks/"), path);
                String segment = path.substring("/locks/".length());
                assertTrue(PCHARS.matcher(segment).matches(), () -> name + " becomes " + segment);
                assertEquals(v.get("path").getAsString(), segment);
                assertEquals(name, URLDecoder.decode(segment.replace("+", "%2B"), StandardCharsets.UTF_8));
            } else if (name.isEmpty() || name.equals(".") || name.equals("..") || v.has("utf16")) {
                // What no path can carry must not be sent; what else is wrong, the service says.
                assertThrows(InvalidArgumentException.class, () -> Request.checkName(name));
            }
        }
        assertTrue(legal > 30);
    }

    private static String utf16(JsonObject v) {
        StringBuilder s = new StringBuilder();
        for (JsonElement unit : v.getAsJsonArray("utf16")) {
            s.append((char) unit.getAsInt());
        }
        return s.toString();
    }

    @Test
    void delaysAreDrawnEvenly() throws IOException {
        for (JsonObject v : Vectors.read("backoff.json")) {
            double least = v.get("minMs").getAsDouble();
            double most = v.get("maxMs").getAsDouble();
            Set<Integer> tenths = new HashSet<>();
            for (int i = 0; i < 500; i++) {
                long floor = v.get("retryAfterMs").getAsLong() * Moment.MILLI;
                double d = Backoff.delay(v.get("attempt").getAsInt(), floor) / 1e6;
                assertTrue(d >= least && d <= most, () -> v + ": " + d + " ms");
                tenths.add((int) (10 * (d - least) / (most - least)));
            }
            assertTrue(tenths.size() >= 8, () -> v + ": no even jitter: " + tenths);
        }
    }

    @Test
    void leasesEndInTime() throws IOException {
        for (JsonObject v : Vectors.read("lease.json")) {
            ServiceClock clock = new ServiceClock();
            for (JsonElement e : v.getAsJsonArray("samples")) {
                JsonObject s = e.getAsJsonObject();
                clock.learn(instant(s, "serverTime"), nanos(s, "sentAt"), nanos(s, "receivedAt"));
            }
            long sent = nanos(v, "sentAt");
            long received = nanos(v, "receivedAt");
            Instant expires = instant(v, "expiresAt");
            Instant told = expires.minusNanos(nanos(v, "ttlMs"));
            if (v.get("atOnce").getAsBoolean()) {
                clock.learn(told, sent, received);
            } else {
                clock.doubt(told, received);
            }
            Lease lease = Lease.granted(nanos(v, "leaseMs"), nanos(v, "ttlMs"), sent, received, expires, clock);
            double at = lease.lostAt() / 1e6;
            double soonest = v.get("noEarlierThan").getAsDouble();
            double latest = v.get("noLaterThan").getAsDouble();
            assertTrue(at >= soonest && at <= latest, () -> v.get("about") + ": lost at " + at);
        }
    }

    private static long nanos(JsonObject o, String key) {
        return Math.round(o.get(key).getAsDouble() * 1e6);
    }

    private static Instant instant(JsonObject o, String key) {
        return Instant.ofEpochMilli(o.get(key).getAsLong());
    }
}

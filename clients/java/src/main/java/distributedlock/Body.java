package distributedlock;

import java.math.BigDecimal;

/** A JSON object on its way to the service: a frame, or the body of a call over REST. */
final class Body {
    private final StringBuilder out = new StringBuilder(256);

    private Body(String key, String value) {
        out.append('{').append(quoted(key)).append(':').append(quoted(value));
    }

    static Body frame(String type, long id) {
        return new Body("type", type).text("id", Long.toString(id));
    }

    static Body of(String clientId) {
        return new Body("clientId", clientId);
    }

    Body text(String key, String value) {
        return raw(key, quoted(value));
    }

    /** A member whose value is JSON already. */
    Body raw(String key, String json) {
        out.append(',').append(quoted(key)).append(':').append(json);
        return this;
    }

    /** A time as a number of seconds, to the microsecond. */
    Body seconds(String key, long nanos) {
        return raw(key, BigDecimal.valueOf(nanos / 1000, 6).stripTrailingZeros().toPlainString());
    }

    private static String quoted(String s) {
        for (int i = 0; i < s.length(); i++) {
            char c = s.charAt(i);
            if (c < ' ' || c == '"' || c == '\\' || c > '~') {
                return Json.GSON.toJson(s);
            }
        }
        return '"' + s + '"';
    }

    @Override
    public String toString() {
        return out + "}";
    }
}

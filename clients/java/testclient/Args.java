import com.google.gson.JsonObject;
import com.google.gson.reflect.TypeToken;
import java.time.Duration;
import java.util.List;
import java.util.Map;

/** A request of the runner's. */
final class Args {
    final int id;
    final String op;
    private final JsonObject args;

    Args(JsonObject q) {
        id = q.get("id").getAsInt();
        op = q.get("op").getAsString();
        args = q.getAsJsonObject("args");
    }

    boolean has(String key) {
        return args.has(key) && !args.get(key).isJsonNull();
    }

    String text(String key) {
        return has(key) ? args.get(key).getAsString() : "";
    }

    int number(String key) {
        return has(key) ? args.get(key).getAsInt() : 0;
    }

    boolean flag(String key) {
        return has(key) && args.get(key).getAsBoolean();
    }

    Duration millis(String key) {
        return has(key) ? Duration.ofNanos((long) (args.get(key).getAsDouble() * 1e6)) : Duration.ZERO;
    }

    List<String> texts(String key) {
        return has(key) ? TestClient.GSON.fromJson(args.get(key), new TypeToken<List<String>>() {}) : List.of();
    }

    Map<String, Object> object(String key) {
        return TestClient.GSON.fromJson(args.get(key), new TypeToken<Map<String, Object>>() {});
    }
}

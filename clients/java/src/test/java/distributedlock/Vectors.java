package distributedlock;

import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.time.format.DateTimeParseException;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.Assumptions;

/** The vectors that all SDKs of the service share. */
final class Vectors {
    private Vectors() {}

    static List<JsonObject> read(String name) throws IOException {
        Path file = Path.of("..", "conformance", "vectors", name);
        boolean ci = "true".equals(System.getenv("CI"));
        Assumptions.assumeTrue(ci || Files.exists(file), () -> "SKIPPED, the vectors are not here: " + file);
        JsonArray cases =
                JsonParser.parseString(Files.readString(file)).getAsJsonObject().getAsJsonArray("cases");
        assertTrue(cases.size() >= 10, () -> name + " has " + cases.size() + " cases");
        return StreamSupport.stream(cases.spliterator(), false)
                .map(JsonElement::getAsJsonObject)
                .toList();
    }

    /** A value as the wire has it. */
    static Object onWire(Object value) {
        return plain(JsonParser.parseString(Json.GSON.toJson(value)));
    }

    /**
     * What JSON says, whatever way it is written: numbers as doubles, times as times; without fields of later versions, and
     * without those that are nothing.
     */
    static Object plain(JsonElement e) {
        if (e == null || e.isJsonNull()) {
            return null;
        }
        if (e.isJsonArray()) {
            return StreamSupport.stream(e.getAsJsonArray().spliterator(), false)
                    .map(Vectors::plain)
                    .toList();
        }
        if (e.isJsonObject()) {
            Map<String, Object> o = new TreeMap<>();
            e.getAsJsonObject().entrySet().forEach(m -> {
                if (!m.getKey().equals("future")) {
                    o.put(m.getKey(), plain(m.getValue()));
                }
            });
            return o;
        }
        if (e.getAsJsonPrimitive().isNumber()) {
            return e.getAsDouble();
        }
        if (e.getAsJsonPrimitive().isBoolean()) {
            return e.getAsBoolean();
        }
        try {
            return Instant.parse(e.getAsString());
        } catch (DateTimeParseException notTime) {
            return e.getAsString();
        }
    }
}

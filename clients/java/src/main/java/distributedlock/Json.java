package distributedlock;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParseException;
import com.google.gson.Strictness;
import com.google.gson.ToNumberPolicy;
import com.google.gson.TypeAdapter;
import com.google.gson.TypeAdapterFactory;
import com.google.gson.reflect.TypeToken;
import com.google.gson.stream.JsonReader;
import com.google.gson.stream.JsonToken;
import com.google.gson.stream.JsonWriter;
import java.io.IOException;
import java.lang.reflect.RecordComponent;
import java.time.Duration;
import java.time.Instant;
import java.time.format.DateTimeParseException;
import java.util.Arrays;
import java.util.List;

/** JSON as the service writes it. What is absent, null or of another type is read as nothing: "", 0, an empty list. */
final class Json {
    /** Tokens go up to 2^53 - 1, and must stay exact in metadata as well. */
    static final Gson GSON = new GsonBuilder()
            .setStrictness(Strictness.STRICT)
            .setObjectToNumberStrategy(ToNumberPolicy.LONG_OR_DOUBLE)
            .registerTypeAdapter(Instant.class, new InstantAdapter())
            .registerTypeAdapterFactory(new EmptyLists())
            .serializeNulls()
            .disableHtmlEscaping()
            .create();

    private Json() {}

    /** The object that a text is, or null. */
    static JsonObject object(String text) {
        try {
            JsonElement e = GSON.fromJson(text, JsonElement.class);
            return e != null && e.isJsonObject() ? e.getAsJsonObject() : null;
        } catch (JsonParseException e) {
            return null;
        }
    }

    static String text(JsonObject o, String key) {
        JsonElement e = o.get(key);
        return e != null && e.isJsonPrimitive() ? e.getAsString() : "";
    }

    private static boolean isNumber(JsonElement e) {
        return e != null && e.isJsonPrimitive() && e.getAsJsonPrimitive().isNumber();
    }

    static long number(JsonObject o, String key) {
        JsonElement e = o.get(key);
        return isNumber(e) ? e.getAsLong() : 0;
    }

    static int integer(JsonObject o, String key) {
        return (int) number(o, key);
    }

    static boolean flag(JsonObject o, String key) {
        JsonElement e = o.get(key);
        return e != null && e.isJsonPrimitive() && e.getAsBoolean();
    }

    static Duration seconds(JsonObject o, String key) {
        JsonElement e = o.get(key);
        return isNumber(e) ? Duration.ofNanos(Math.round(e.getAsDouble() * 1e9)) : Duration.ZERO;
    }

    /** A time, or the epoch. */
    static Instant time(JsonObject o, String key) {
        try {
            return Instant.parse(text(o, key));
        } catch (DateTimeParseException e) {
            return Instant.EPOCH;
        }
    }

    static <T> List<T> list(JsonObject o, String key, Class<T[]> type) {
        JsonElement e = o.get(key);
        try {
            return e != null && e.isJsonArray() ? List.of(GSON.fromJson(e, type)) : List.of();
        } catch (JsonParseException | NullPointerException ofAnotherShape) {
            return List.of();
        }
    }

    /** Gives records empty lists where the service says nothing. */
    private static final class EmptyLists implements TypeAdapterFactory {
        @Override
        public <T> TypeAdapter<T> create(Gson gson, TypeToken<T> type) {
            if (!type.getRawType().isRecord()) {
                return null;
            }
            List<String> lists = Arrays.stream(type.getRawType().getRecordComponents())
                    .filter(c -> c.getType() == List.class)
                    .map(RecordComponent::getName)
                    .toList();
            TypeAdapter<T> plain = gson.getDelegateAdapter(this, type);
            return lists.isEmpty() ? plain : new Filling<>(gson.getAdapter(JsonElement.class), plain, lists);
        }
    }

    private static final class Filling<T> extends TypeAdapter<T> {
        private final TypeAdapter<JsonElement> tree;
        private final TypeAdapter<T> plain;
        private final List<String> lists;

        Filling(TypeAdapter<JsonElement> tree, TypeAdapter<T> plain, List<String> lists) {
            this.tree = tree;
            this.plain = plain;
            this.lists = lists;
        }

        @Override
        public void write(JsonWriter out, T value) throws IOException {
            plain.write(out, value);
        }

        @Override
        public T read(JsonReader in) throws IOException {
            JsonElement e = tree.read(in);
            if (e.isJsonObject()) {
                JsonObject o = e.getAsJsonObject();
                lists.stream()
                        .filter(name -> !o.has(name) || o.get(name).isJsonNull())
                        .forEach(name -> o.add(name, new JsonArray()));
            }
            return plain.fromJsonTree(e);
        }
    }

    private static final class InstantAdapter extends TypeAdapter<Instant> {
        @Override
        public void write(JsonWriter out, Instant value) throws IOException {
            out.value(value == null ? null : value.toString());
        }

        @Override
        public Instant read(JsonReader in) throws IOException {
            if (in.peek() == JsonToken.NULL) {
                in.nextNull();
                return null;
            }
            try {
                return Instant.parse(in.nextString());
            } catch (DateTimeParseException e) {
                throw new JsonParseException(e);
            }
        }
    }
}

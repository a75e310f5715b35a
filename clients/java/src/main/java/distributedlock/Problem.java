package distributedlock;

import com.google.gson.JsonObject;
import java.time.Duration;
import java.util.List;

/** What the service answered instead of what was asked for, or what the client found by itself. */
record Problem(
        String code,
        int status,
        String title,
        String detail,
        String requestId,
        String lockName,
        List<Holder> holders,
        int queueLength,
        Duration waitTime,
        List<CycleStep> cycle,
        int limit,
        Duration retryAfter,
        List<FieldError> fields) {
    // The codes that the client acts on.
    static final String INVALID = "invalid_argument";
    static final String RATE_LIMITED = "rate_limited";
    static final String UNAVAILABLE = "unavailable";
    static final String DRAINING = "draining";
    static final String OUTCOME_UNKNOWN = "outcome_unknown";
    static final String INTERNAL = "internal";
    static final String LOCK_LOST = "lock_lost";
    static final String NOT_OWNER = "not_owner";
    static final String WAIT_TIMEOUT = "wait_timeout";
    static final String TOO_LARGE = "too_large";
    // Those that no service says.
    static final String CLOSED = "closed";
    static final String RELEASED = "released";
    static final String INTERRUPTED = "interrupted";

    private static final int LONGEST_EXCERPT = 200;

    /** What the client found by itself. */
    static Problem local(String code, int status, String title, String detail) {
        return new Problem(
                code,
                status,
                title,
                detail,
                "",
                "",
                List.of(),
                0,
                Duration.ZERO,
                List.of(),
                0,
                Duration.ZERO,
                List.of());
    }

    /** Reads a problem or an error frame. The status counts where it tells none. */
    static Problem read(String text, int status) {
        JsonObject o = Json.object(text);
        String code = o == null ? "" : Json.text(o, "code");
        return code.isEmpty() ? foreign(text, status) : read(o, code, status);
    }

    private static Problem read(JsonObject o, String code, int status) {
        return new Problem(
                code,
                o.has("status") ? Json.integer(o, "status") : status,
                Json.text(o, "title"),
                Json.text(o, "detail"),
                Json.text(o, "requestId"),
                Json.text(o, "lockName"),
                Json.list(o, "holders", Holder[].class),
                Json.integer(o, "queueLength"),
                Json.seconds(o, "waitTime"),
                Json.list(o, "cycle", CycleStep[].class),
                Json.integer(o, "limit"),
                Json.seconds(o, "retryAfter"),
                Json.list(o, "errors", FieldError[].class));
    }

    /** An answer that came from something between us and the service. */
    private static Problem foreign(String text, int status) {
        String excerpt = text.length() > LONGEST_EXCERPT ? text.substring(0, LONGEST_EXCERPT) : text;
        return local(codeOf(status), status, "an answer that is not the service's", excerpt);
    }

    private static String codeOf(int status) {
        return switch (status) {
            case 401 -> "unauthorized";
            case 403 -> "forbidden";
            case 404 -> "not_found";
            case 405 -> "method_not_allowed";
            case 413 -> TOO_LARGE;
            case 429 -> RATE_LIMITED;
            default -> status >= 502 ? UNAVAILABLE : status >= 500 ? INTERNAL : INVALID;
        };
    }

    Problem about(String name) {
        return lockName.isEmpty() && name != null ? with(name, waitTime, retryAfter) : this;
    }

    Problem waited(Duration time) {
        return with(lockName, time, retryAfter);
    }

    Problem retryAfter(Duration time) {
        return with(lockName, waitTime, time);
    }

    private Problem with(String name, Duration waited, Duration retry) {
        return new Problem(
                code,
                status,
                title,
                detail,
                requestId,
                name,
                holders,
                queueLength,
                waited,
                cycle,
                limit,
                retry,
                fields);
    }

    String message() {
        return detail.isEmpty() ? title + " (" + code + ", status " + status + ")" : detail + " (" + code + ")";
    }

    /** A field that no service was asked about. */
    static LockException invalid(String field, String what) {
        Problem p = local(INVALID, 400, "The request is not valid", field + " " + what + ". Nothing was sent.");
        return new InvalidArgumentException(
                new Problem(
                        p.code,
                        p.status,
                        p.title,
                        p.detail,
                        "",
                        "",
                        List.of(),
                        0,
                        Duration.ZERO,
                        List.of(),
                        0,
                        Duration.ZERO,
                        List.of(new FieldError(field, what))),
                null);
    }

    static LockException closed() {
        return LockException.of(local(CLOSED, 0, "The client is closed", "The client is closed"), null);
    }

    static LockException released(String name) {
        String detail = "\"" + name + "\" was released by this program";
        return LockException.of(
                local(RELEASED, 0, "The lock is released", detail).about(name), null);
    }

    static LockException interrupted(String name) {
        String detail = "The thread was interrupted; the request was taken back";
        return LockException.of(local(INTERRUPTED, 0, "Interrupted", detail).about(name), null);
    }

    static LockException lost(String name, String why) {
        String detail = "The lock \"" + name + "\" is lost: " + why;
        return LockException.of(
                local(LOCK_LOST, 410, "The lock is lost", detail).about(name), null);
    }

    static LockException tooLarge(String name) {
        String detail = "The request has more than 64 KiB. Nothing was sent";
        return LockException.of(
                local(TOO_LARGE, 413, "The frame is too large", detail).about(name), null);
    }

    /** What a call fails with that got no answer in time, with the last cause. */
    static LockException unavailable(Throwable cause) {
        if (cause instanceof LockServiceUnavailableException e && !(cause instanceof NoWebSocketException)) {
            return e;
        }
        String detail = "The lock service is unavailable" + (cause == null ? "" : ": " + describe(cause));
        return LockException.of(local(UNAVAILABLE, 503, "The lock service is unavailable", detail), cause);
    }

    private static String describe(Throwable cause) {
        return cause.getMessage() == null ? cause.getClass().getSimpleName() : cause.getMessage();
    }

    /** Whether asking again may help, without anybody doing anything. */
    static boolean retryable(LockException e) {
        return switch (e.getCode()) {
            case OUTCOME_UNKNOWN, DRAINING, UNAVAILABLE, RATE_LIMITED, INTERNAL -> true;
            default -> false;
        };
    }

    /** Whether the grant is gone for whoever asks by it. */
    static boolean gone(LockException e) {
        return e instanceof LockLostException || e instanceof NotOwnerException;
    }

    /** Whether the problem is that one field, and no other. */
    boolean isAbout(String field) {
        return fields.size() == 1 && fields.get(0).field().equals(field);
    }
}

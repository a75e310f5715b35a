package distributedlock;

/** One call over REST. Times are in nanoseconds. */
final class RestCall {
    final String method;
    /** Escaped, with the query, without what the endpoint's own path is. */
    final String path;

    final Body body;
    /** The lock's, for errors. */
    final String name;
    /** How long the service may take beside the usual, and until when it is tried. */
    long wait;

    long until = Moment.NEVER;
    /** Whether more than one try was made, so that an earlier one may have done it. */
    volatile boolean again;

    RestCall(String method, String path, Body body, String name) {
        this.method = method;
        this.path = path;
        this.body = body;
        this.name = name;
    }

    static RestCall get(String path, String name) {
        return new RestCall("GET", path, null, name);
    }

    RestCall within(long longer, long then) {
        wait = longer;
        until = then;
        return this;
    }
}

package distributedlock;

/** The service, or something before it, speaks no WebSocket: callers see no more of it than that it is unavailable. */
final class NoWebSocketException extends LockServiceUnavailableException {
    private static final long serialVersionUID = 1L;

    NoWebSocketException(String why) {
        super(Problem.local(Problem.UNAVAILABLE, 503, "no WebSocket can be had", why), null);
    }
}

package distributedlock;

import java.util.Optional;

/** Is told what happens to locks: one call after another, by a thread of the client's. */
@FunctionalInterface
public interface LockEventListener {
    /**
     * Something happened.
     *
     * @param event what; one of kind {@code gap} says that some may be missing
     */
    void onEvent(LockEvent event);

    /**
     * The subscription is over; this is the last call.
     *
     * @param cause why it ended by itself; empty where it was closed
     */
    default void onEnd(Optional<LockException> cause) {}
}

package distributedlock;

import java.time.Duration;

/**
 * How a call came out.
 *
 * @param error why it failed; null where it did not
 * @param hold what an acquire was granted
 * @param heldFor how long a released lock was held
 * @param renewal the lease that a renewal gave
 * @param resent whether it was sent more than once, so that an earlier sending may have done it
 */
record Answer(LockException error, Hold hold, Duration heldFor, Renewal renewal, boolean resent) {
    static final Answer DONE = new Answer(null, null, Duration.ZERO, null, false);

    static Answer failed(LockException error) {
        return new Answer(error, null, Duration.ZERO, null, false);
    }

    static Answer granted(Hold hold) {
        return new Answer(null, hold, Duration.ZERO, null, false);
    }

    static Answer released(Duration heldFor) {
        return new Answer(null, null, heldFor, null, false);
    }

    static Answer renewed(Renewal renewal) {
        return new Answer(null, null, Duration.ZERO, renewal, false);
    }

    Answer resent(boolean again) {
        return again ? new Answer(error, hold, heldFor, renewal, true) : this;
    }
}

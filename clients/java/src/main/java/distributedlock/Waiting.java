package distributedlock;

import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;

/** How a caller's thread waits: parked, so that a virtual thread lets its carrier go. */
final class Waiting {
    private Waiting() {}

    /** What may be waited for, for some nanoseconds; true when it has come. */
    interface Step {
        boolean await(long nanos) throws InterruptedException;
    }

    /**
     * Waits for a call that is short by itself, such as a release, even in a thread that is interrupted: it is all the more
     * important then. The interrupt flag stands again afterwards.
     */
    static <T> T patiently(CompletableFuture<T> f) {
        boolean interrupted = false;
        try {
            while (true) {
                try {
                    return f.get();
                } catch (InterruptedException e) {
                    interrupted = true;
                } catch (ExecutionException e) {
                    throw failure(e);
                }
            }
        } finally {
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }

    /** Waits so long at most, likewise. */
    static boolean patiently(long most, Step step) {
        boolean interrupted = false;
        long end = Moment.now() + most;
        try {
            while (true) {
                try {
                    return step.await(Math.max(end - Moment.now(), 0));
                } catch (InterruptedException e) {
                    interrupted = true;
                }
            }
        } finally {
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }

    /** Waits until there is an outcome, or the thread is interrupted: then the call is taken back. */
    static <T> T interruptibly(CompletableFuture<T> f, String name, Runnable takeBack) {
        try {
            return f.get();
        } catch (InterruptedException e) {
            takeBack.run();
            Thread.currentThread().interrupt();
            throw Problem.interrupted(name);
        } catch (ExecutionException e) {
            throw failure(e);
        }
    }

    /** The failure, with the stack of the thread that waited. */
    private static RuntimeException failure(ExecutionException e) {
        if (e.getCause() instanceof LockException told) {
            return told.again();
        }
        return e.getCause() instanceof RuntimeException r ? r : new IllegalStateException(e.getCause());
    }
}

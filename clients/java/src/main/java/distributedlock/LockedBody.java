package distributedlock;

import java.util.concurrent.locks.ReentrantLock;

/** A body that runs while a lock is held, in a thread that is interrupted when the lock is lost. */
final class LockedBody {
    private final Thread thread = Thread.currentThread();
    private final ReentrantLock mutex = new ReentrantLock();
    private boolean running = true;
    private boolean interrupted;

    private LockedBody() {}

    /** Runs it, gives the lock back, and tells the loss, with what the body made of it as the cause. */
    static <T, E extends Exception> T run(DistributedLock lock, LockedCall<T, E> body) throws E {
        LockedBody b = new LockedBody();
        lock.hold().hook(b::lost);
        T result;
        try {
            result = body.call(lock);
        } catch (Throwable e) {
            b.end();
            try {
                lock.close();
            } catch (LockLostException lost) {
                if (e instanceof Error) {
                    e.addSuppressed(lost);
                } else {
                    throw LockException.of(lost.problem(), e);
                }
            }
            throw e;
        }
        b.end();
        lock.close();
        return result;
    }

    private void lost() {
        mutex.lock();
        try {
            if (running) {
                interrupted = true;
                thread.interrupt();
            }
        } finally {
            mutex.unlock();
        }
    }

    /** No interrupt comes any more, and the one that came is gone with the body. */
    private void end() {
        mutex.lock();
        try {
            running = false;
            if (interrupted) {
                Thread.interrupted();
            }
        } finally {
            mutex.unlock();
        }
    }
}

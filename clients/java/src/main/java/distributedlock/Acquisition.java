package distributedlock;

import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;

/** An acquire as its caller sees it: a future that, ended in any other way, takes the request back. */
final class Acquisition implements Acquiring.Told {
    private final Core core;
    private final Request request;
    private final Executor teller;
    private final CompletableFuture<DistributedLock> future = new CompletableFuture<>();

    /** Begins. The teller is what completes the future. */
    Acquisition(Core core, Request request, Executor teller) {
        this.core = core;
        this.request = request;
        this.teller = teller;
        Acquiring acquiring = new Acquiring(core, request, this);
        core.when(future, (lock, e) -> acquiring.stop(Problem.interrupted(request.name)));
        acquiring.start();
    }

    @Override
    public void granted(Hold hold) {
        teller.execute(() -> {
            if (!future.complete(new DistributedLock(core, hold))) { // the caller has lost patience meanwhile
                hold.letGo();
            }
        });
    }

    @Override
    public void failed(LockException why) {
        teller.execute(() -> future.completeExceptionally(why));
    }

    CompletableFuture<DistributedLock> future() {
        return future;
    }

    DistributedLock await() {
        return Waiting.interruptibly(future, request.name, () -> {
            future.cancel(false);
            if (!future.isCancelled() && !future.isCompletedExceptionally()) { // the grant was faster
                future.join().hold().letGo();
            }
        });
    }
}

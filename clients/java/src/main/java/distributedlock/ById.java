package distributedlock;

import java.time.Duration;
import java.util.concurrent.CompletableFuture;

/** Releases and renewals by what a program kept of a grant. They go over the WebSocket where there is one. */
final class ById {
    private final Core core;

    ById(Core core) {
        this.core = core;
    }

    private boolean connected() {
        return core.link.connection() != null;
    }

    private void check(String name) {
        Request.checkName(name);
        LockException refusal = core.refusal();
        if (refusal != null) {
            throw refusal;
        }
    }

    Duration release(String name, String lockId) {
        check(name);
        long until = Moment.now() + core.settings.httpTimeout;
        boolean socket = core.guard.get(this::connected);
        if (socket) {
            Releasing r = new Releasing(core, name, lockId, until, false);
            core.guard.run(r::start);
            return Waiting.interruptibly(r.result(), name, () -> {});
        }
        CompletableFuture<Duration> asked =
                Rest.read(core.rest.send(core.rest.release(name, lockId, Moment.NEVER)), text -> Rest.grant(text)
                        .heldFor());
        return Waiting.interruptibly(asked, name, () -> asked.cancel(true));
    }

    Renewal renew(String name, String token, long ttl) {
        check(name);
        Answer a = core.guard.get(this::connected) ? overSocket(name, token, ttl) : null;
        if (a == null || (a.error() != null && Problem.retryable(a.error()))) {
            CompletableFuture<Grant> asked = core.rest.renew(name, token, ttl, Moment.NEVER);
            return Waiting.interruptibly(asked, name, () -> asked.cancel(true)).renewal();
        }
        if (a.error() != null) {
            throw a.error().again();
        }
        return a.renewal();
    }

    private Answer overSocket(String name, String token, long ttl) {
        CompletableFuture<Answer> answer = new CompletableFuture<>();
        Call k = new Call(Call.Kind.RENEW, name, token);
        k.ttl = ttl;
        k.told = answer::complete;
        core.guard.run(() -> {
            core.calls.submit(k);
            core.calls.watch(k, Moment.now() + core.settings.httpTimeout, Core.ANSWER_PATIENCE);
        });
        return Waiting.interruptibly(answer, name, () -> core.guard.run(() -> core.calls.leave(k)));
    }
}

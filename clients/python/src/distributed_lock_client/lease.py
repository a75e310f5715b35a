"""A lock that was granted: how long it lasts, and how it ends."""

from __future__ import annotations

import asyncio
import enum
import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .errors import LockLostError, LockReleasedError
from .model import moment
from .release import release_until
from .request import Request
from .timing import lease_end, margin

if TYPE_CHECKING:
    from .core import Core

log = logging.getLogger("distributed_lock_client")

#: How long a release tries to be heard.
RELEASE_PATIENCE = 5.0


class State(enum.Enum):
    """Whether a lock is held, and how it ended."""

    HELD = "held"
    RELEASED = "released"
    LOST = "lost"


class Lease:
    """One grant. It is held, then either released or lost; the first end counts.

    Whether it is held may be asked from any thread; all else runs in the loop's.
    """

    def __init__(self, core: Core, q: Request, grant: Mapping[str, Any], first: float, received: float) -> None:
        self.core = core
        self.q = q
        self.lock_id: str = grant.get("lockId") or ""
        self.name = q.name
        self.renewal_token: str = grant.get("renewalToken") or ""
        self.fencing_token: int = grant.get("fencingToken") or 0
        self.waited: float = grant.get("waitTime") or 0.0
        self.granted = received
        left = (grant.get("ttlMs") or 0) / 1000
        #: The lease's length: what was asked for, of which less may be left by now.
        self.ttl = left if q.ttl is None else q.ttl
        self.ends, self.ends_last, proven = lease_end(
            core.link.clock, left, moment(grant.get("expiresAt")).timestamp(), first, received
        )
        #: Whether nothing but the request's moment was known of when the lease began.
        self.unproven = not proven
        self.state = State.HELD
        self.loss: LockLostError | None = None
        #: Renewals come one after another.
        self.turn = asyncio.Lock()
        # Guards the state and the lease's end, and who is to be told of it.
        self._mu = threading.Lock()
        self._watchers: list[Callable[[], object]] = []
        #: Whether a release was sent; whether the service has answered one, or it is pointless.
        self._tried = self._settled = False
        self._timer = core.loop.call_later(max(self.lost_at - time.monotonic(), 0), self._ring)
        self.renewal: asyncio.TimerHandle | None = None

    @property
    def lost_at(self) -> float:
        """When the lock counts as lost."""
        return self.ends - margin(self.ttl)

    @property
    def held(self) -> bool:
        self.check()
        return self.state is State.HELD

    def check(self) -> None:
        """Find the lock lost when its time has come."""
        if self.state is State.HELD and time.monotonic() >= self.lost_at:
            self.lose("its lease ended and was not renewed")

    def ensure(self) -> None:
        """Fail unless the lock is held."""
        self.check()
        if self.state is State.LOST:
            raise self.why_lost()
        if self.state is State.RELEASED:
            raise LockReleasedError("The lock is released. Acquire it again to go on.", lock_name=self.name)

    def why_lost(self) -> LockLostError:
        """Make an error of the loss: one for each who is told, as tracebacks are added to it."""
        loss = self.loss or LockLostError("The lock is lost", lock_name=self.name)
        copy = type(loss)(*loss.args)
        copy.__dict__.update(loss.__dict__)
        return copy

    def watch(self, told: Callable[[], object]) -> Callable[[], None]:
        """Call in the loop's thread when the lock ends, at once where it has. It returns how to undo that."""
        with self._mu:
            ended = self.state is not State.HELD
            if not ended:
                self._watchers.append(told)
        if ended:
            self.core.post(told)

        def undo() -> None:
            with self._mu:
                if told in self._watchers:
                    self._watchers.remove(told)

        return undo

    def _finish(self, state: State, loss: LockLostError | None = None) -> bool:
        """End the lock. The first end counts, and reports ``True``."""
        with self._mu:
            if self.state is not State.HELD:
                return False
            self.loss = loss
            self.state = state
            watchers, self._watchers = self._watchers, []

        def finish() -> None:
            self._timer.cancel()
            if self.renewal is not None:
                self.renewal.cancel()
            if self.core.held.get(self.lock_id) is self:
                del self.core.held[self.lock_id]
            if state is State.LOST:
                self.core.lapse(self.lock_id, self.ends_last)
            for told in watchers:
                told()

        self.core.post(finish)
        return True

    def lose(self, reason: str) -> None:
        """End the lock for a reason that is not its release."""
        detail = f'The lock "{self.name}" is lost: {reason}. Stop the work that it protected; acquire again to go on.'
        if self._finish(State.LOST, LockLostError(detail, lock_name=self.name, request_id=self.q.id)):
            log.info("the lock %r (fencing token %d) is lost: %s", self.name, self.fencing_token, reason)

    def _ring(self) -> None:
        """Lose the lock, unless it was renewed meanwhile."""
        self.check()
        if self.state is State.HELD:
            left = self.lost_at - time.monotonic()
            self._timer = self.core.loop.call_later(max(left, 0.001), self._ring)

    def extend(self, ttl: float, sent: float, received: float) -> None:
        """Take a new lease, that was asked for at sent and told at received."""
        with self._mu:
            if self.state is not State.HELD:
                return
            sooner = sent + ttl < self.ends
            self.ttl, self.ends, self.ends_last = ttl, sent + ttl, received + ttl
        if sooner:
            self._timer.cancel()
            self._ring()

    def unsure(self, sent: float, ttl: float | None) -> None:
        """Note that the lease may have been renewed from then on, or not: with a shorter one it may end sooner."""
        with self._mu:
            if self.state is not State.HELD or ttl is None or sent + ttl >= self.ends:
                return
            self.ends = sent + ttl
        self._timer.cancel()
        self._ring()

    async def release(self) -> None:
        """Give the lock back. It is idempotent; what was lost before is told as that."""
        self.check()
        if self.state is State.LOST:
            if not self._settled:  # the lease may live a little longer: the next in line need not wait for its end
                self._settled = True
                self.core.give_back(self.name, self.lock_id)
            raise self.why_lost()
        if self._settled:
            return
        self._finish(State.RELEASED)
        again, self._tried = self._tried, True
        until = min(time.monotonic() + RELEASE_PATIENCE, self.ends_last)
        resent = [again]
        try:
            await release_until(self.core, self.name, self.lock_id, until, resent)
        except asyncio.CancelledError:
            self._settled = True
            self.core.give_back(self.name, self.lock_id)
            raise
        except LockLostError as error:
            # A grant that is gone on the second try was released by the first.
            if not (resent[0] or self._settled or time.monotonic() >= self.ends_last):
                self._settled, self.state, self.loss = True, State.LOST, error
                raise
        except Exception:
            # Where the lease is over, nobody holds anything by it any more. Else another try may do it.
            if not (self._settled or time.monotonic() >= self.ends_last):
                raise
        self._settled = True

    def let_go(self) -> None:
        """Release the lock, and nobody waits for it."""
        self._finish(State.RELEASED)
        if not self._settled:
            self._settled = True
            self.core.give_back(self.name, self.lock_id)

"""Acquiring: asking until there is an answer that asking again cannot change."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from .calls import Acquire
from .errors import InvalidArgumentError, LockError, LockTimeoutError, NoWebSocketError, give_up, retryable
from .poll import Poller, settle
from .renew import keep, renew
from .request import Request
from .timing import backoff, margin

if TYPE_CHECKING:
    from .core import Core
    from .lease import Lease

#: How long a call that does not wait in line, or not as long, tries to reach the service.
TRY_PATIENCE = 5.0
#: For the service to say that a wait ran out.
WAIT_GRACE = 1.0
#: What is left of a wait when its end is meant.
NEARLY_OVER = 0.02
#: No pause is longer for the service's word.
LONGEST_PAUSE = 1.0


class Waiting:
    """An acquire under way, over all its tries."""

    def __init__(self, q: Request) -> None:
        self.q = q
        self.begin = time.monotonic()
        #: When the wait in line ends, and when to give up; ``None`` for never.
        self.end: float | None = None
        self.until: float | None = None
        if q.wait is not None:
            self.end = self.begin + q.wait
            self.until = self.begin + max(q.wait + WAIT_GRACE, TRY_PATIENCE)
        #: Whether REST was asked: an answer may be lost there.
        self.by_rest = False

    @property
    def over(self) -> bool:
        return self.until is not None and time.monotonic() >= self.until


async def acquire(core: Core, q: Request) -> Lease:
    """Acquire a lock. Whoever cancels it leaves the line, and a grant that crosses that goes back."""
    core.check_open()
    w = Waiting(q)
    try:
        lease = await _acquire(core, w)
    except BaseException as error:
        # What the service refused is nobody's; else an answer may have been lost, or come too late.
        refused = isinstance(error, LockError) and error.status and not retryable(error)
        if w.by_rest and not refused:
            core.behind(settle(core, q))
        raise
    finally:
        if w.by_rest:
            core.tightened()
    return lease


async def _acquire(core: Core, w: Waiting) -> Lease:
    attempt = 0
    while True:
        try:
            return await _hand(await _ask(core, w))
        except (LockError, NoWebSocketError) as error:
            if _at_once(core, w, error):
                attempt = 0
                continue
            delay = backoff(attempt, min(getattr(error, "retry_after", 0.0), LONGEST_PAUSE))
            attempt += 1
            if w.until is not None:
                delay = min(delay, max(w.until - time.monotonic(), 0))
            await core.pause(delay)
            if w.over:
                give_up(error)


def _at_once(core: Core, w: Waiting, error: LockError | NoWebSocketError) -> bool:
    """Report whether to ask again at once, or after a pause. What asking again cannot change is raised."""
    if isinstance(error, NoWebSocketError):
        return True  # over REST, from now on
    if error.code == LockTimeoutError.code:
        if w.end is not None and w.end - time.monotonic() < NEARLY_OVER:
            error.wait_time = time.monotonic() - w.begin
            raise error
        return True  # only a part of the wait has ended
    if (
        isinstance(error, InvalidArgumentError)
        and [f.field for f in error.fields] == ["waitTimeout"]
        and core.shorten()
    ):
        return True
    if not retryable(error):
        raise error
    if w.over:
        give_up(error)
    return False


async def _ask(core: Core, w: Waiting) -> Lease:
    """Ask once, over what there is."""
    if core.link.rest_only:
        if not w.by_rest:
            w.by_rest = True
            core.loosen()  # close waits until it is settled
        return await Poller(core, w).poll()
    done: asyncio.Future[Any] = core.loop.create_future()
    call = Acquire(done, w.q, w.end if w.q.wait else None, core.longest_ask)
    lease: Lease = await core.answer(call, w.until)
    return lease


async def _hand(lease: Lease) -> Lease:
    """Make a grant ready for its caller."""
    unclear = lease.unproven and lease.ends_last - lease.ends > margin(lease.ttl)
    lease.unproven = False
    if unclear:
        # When it was granted cannot be told well enough: a new lease begins after now.
        try:
            await renew(lease, None)
        except BaseException:
            lease.let_go()
            raise
    if lease.q.auto_renew and lease.renewal is None:
        keep(lease)
    return lease

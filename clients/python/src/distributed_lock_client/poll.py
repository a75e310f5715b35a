"""Waiting in line over REST, as long polls each of which takes the place over from the one before."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .errors import LockError, LockTimeoutError, unavailable
from .lease import Lease
from .request import Request

if TYPE_CHECKING:
    from .acquire import Waiting
    from .core import Core

#: How long one call waits: proxies cut off what is silent for a minute.
POLL = 20.0
#: How long before its end the next call takes the place over.
POLL_LEAD = 4.0
#: How long is tried to give back what an abandoned poll was granted.
SETTLE_PATIENCE = 4.0

Grant = Mapping[str, Any]


class Poller:
    """One acquire over REST."""

    def __init__(self, core: Core, w: Waiting) -> None:
        self.core = core
        self.w = w
        self.first = time.monotonic()
        self.polls: list[asyncio.Task[Grant]] = []
        #: When the next poll begins; ``None`` where none has to.
        self.next: float | None = self.first

    async def poll(self) -> Lease:
        """Wait in line. Whoever cancels it leaves the line; :func:`settle` sees to what was granted all the same."""
        core = self.core
        core.check_open()
        try:
            grant = await self._run()
        finally:
            for poll in self.polls:
                poll.cancel()
        received = time.monotonic()
        lease = core.held.get(grant["lockId"])
        if lease is not None:
            return lease
        lease = Lease(core, self.w.q, grant, self.first, received)
        if len(self.polls) > 1:  # the service counts from the last time it was asked
            lease.waited = max(lease.waited, received - self.first)
        core.held[lease.lock_id] = lease
        return lease

    async def _run(self) -> Grant:
        """Poll until there is a grant, an error, or no reason to wait any more."""
        core, w = self.core, self.w
        while True:
            now = time.monotonic()
            if w.until is not None and now >= w.until:
                raise unavailable(core.link.cause)
            if self.next is not None and now >= self.next:
                self._begin(now)
            ends = [t for t in (w.until, self.next) if t is not None]
            waited_for: set[asyncio.Future[Any]] = {*(p for p in self.polls if not p.done()), core.closing}
            timeout = max(min(ends) - now, 0) if ends else None
            done, _ = await asyncio.wait(waited_for, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            core.check_open()
            for poll in done:
                assert isinstance(poll, asyncio.Task)
                grant = self._answer(poll)
                if grant is not None:
                    return grant

    def _begin(self, now: float) -> None:
        """Begin the next poll."""
        chunk = min(POLL, self.core.longest_ask)
        more = True
        if self.w.q.wait == 0:
            chunk, more = 0.0, False
        elif self.w.end is not None:
            left = max(self.w.end - now, 0.001)
            chunk, more = min(chunk, left), left > chunk
        self.next = now + chunk - min(POLL_LEAD, chunk / 4) if more else None
        self.polls.append(self.core.spawn(self.core.rest.acquire(self.w.q, chunk)))

    def _answer(self, poll: asyncio.Task[Grant]) -> Grant | None:
        """Read how a poll came out. That of one whose place was taken over is nothing."""
        try:
            return poll.result()
        except LockTimeoutError as error:
            if error.code == LockTimeoutError.code and poll is not self.polls[-1]:
                return None
            raise


async def settle(core: Core, q: Request) -> None:
    """Give back what an acquire was granted that nobody waits for: the same request is told of its grant again."""
    with contextlib.suppress(LockError):
        grant = await core.rest.acquire(q, 0.0, SETTLE_PATIENCE)
        await core.rest.release(q.name, grant["lockId"], None, SETTLE_PATIENCE)

"""Keeps a connection for as long as anything depends on it."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from .calls import Acquire, Call, Renew, Subscribe, Unsubscribe
from .connection import PING_AFTER, Connection
from .dial import connect
from .errors import InvalidArgumentError, LockError, LockReleasedError, NoWebSocketError, retryable
from .timing import Clock, backoff

if TYPE_CHECKING:
    from .core import Core
    from .lease import Lease

log = logging.getLogger("distributed_lock_client")

#: How long the client goes without a WebSocket after none could be had.
REST_FOR = 60.0
#: How long a connection must have lived for the next one to be tried without a pause.
SETTLED_AFTER = 2.0
#: How many connections that were made, and soon ended, lengthen the pause before the next.
MOST_SHORT_LIVED = 4


class Link:
    """The client's connection, ``conn``, and what outlives it: the session, the endpoint, the service's clock."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.conn: Connection | None = None
        self.clock = Clock()
        self.session = ""
        self.endpoint = 0
        #: What went wrong last, for those whose time is up.
        self.cause: Exception | None = None
        self._rest_until = 0.0
        self._task: asyncio.Task[None] | None = None
        self._watcher: asyncio.TimerHandle | None = None

    @property
    def rest_only(self) -> bool:
        """Whether calls go over REST for now."""
        if not self.core.settings.web_socket:
            return True
        return self.conn is None and time.monotonic() < self._rest_until

    def start(self) -> None:
        """See to a connection, unless somebody does."""
        if self._task is None and self.conn is None and not self.core.over and not self.rest_only:
            self._task = self.core.spawn(self._keep())

    async def stop(self, cause: Exception) -> None:
        """End the connection and all attempts at one."""
        conn, self.conn = self.conn, None
        if conn is not None:
            await conn.bye(cause)
        if self._task is not None:
            self._task.cancel()

    async def _keep(self) -> None:
        try:
            await self._keep_trying()
        finally:
            self._task = None
        if self.core.wanted:  # by somebody who came meanwhile
            self.start()

    async def _keep_trying(self) -> None:
        failures = refusals = 0
        while self.core.wanted:
            self.core.sweep()
            error: Exception
            try:
                conn = await connect(self)
            except (LockError, NoWebSocketError, OSError, ValueError) as e:
                error = e
                failures += 1
                refusals += isinstance(e, NoWebSocketError)
                if self._refused(e, refusals):
                    return
            else:
                error = await self._serve(conn)
                refusals = 0
                failures = 1 if self._ended(conn, error) else min(failures + 1, MOST_SHORT_LIVED)
                if failures == 1:
                    continue
            # All endpoints have their turn before the pauses grow.
            turns = (failures - 1) // len(self.core.settings.endpoints)
            await asyncio.sleep(backoff(turns, getattr(error, "retry_after", 0.0)))

    async def _serve(self, conn: Connection) -> Exception:
        self._watch(conn)
        try:
            return await conn.closed
        finally:
            if self._watcher is not None:
                self._watcher.cancel()

    def _watch(self, conn: Connection) -> None:
        conn.watch(bool(self.core.pending or self.core.held))
        self._watcher = self.core.loop.call_later(PING_AFTER / 2, self._watch, conn)

    def _next_endpoint(self, why: Exception) -> None:
        self.cause = why
        self.endpoint = (self.endpoint + 1) % len(self.core.settings.endpoints)

    def _ended(self, conn: Connection, why: Exception) -> bool:
        """Note the end of a connection. It reports whether the next one need not wait."""
        if self.conn is conn:
            self.conn = None
        if self.core.over:
            return False
        self._next_endpoint(why)
        code = conn.close_code
        if code == 1000:  # the session went on elsewhere: two would take it from each other for ever
            self.session = ""
        elif code in {1009, 4400}:  # sent again, it would end the next connection too
            for call in self.core.calls():
                if call.first is not None:
                    fault = InvalidArgumentError(f"The service refused a frame: {why}", status=400, lock_name=call.name)
                    self.core.end(call, error=fault)
        log.info("the connection to the lock service ended: %s", why)
        return time.monotonic() - conn.born > SETTLED_AFTER or conn.draining or code == 1001

    def _refused(self, why: Exception, refusals: int) -> bool:
        """Note that there was no connection. It reports whether to stop trying."""
        if self.core.over:
            return False
        log.info(
            "no connection to the lock service at %s: %s", self.core.settings.endpoints[self.endpoint].authority, why
        )
        self._next_endpoint(why)
        if _final(why):
            self.core.end_all(why)
        elif refusals >= len(self.core.settings.endpoints):
            self._rest_until = time.monotonic() + REST_FOR
            self.core.end_all(NoWebSocketError(str(why)))
        else:
            return False
        return True

    def install(self, conn: Connection) -> None:
        """Make a connection the client's: everything under way is asked again over it."""
        self.conn = conn
        self._rest_until = 0.0
        self.cause = None
        for call in self.core.calls():
            self._resend(conn, call)
        if not conn.resumed:  # nobody tells of what became of the locks: a renewal does
            for lease in list(self.core.held.values()):
                self.probe(lease)
        for subscriber in list(self.core.subscribers):
            subscriber.name = ""
            self.core.submit(Subscribe(subscriber))

    def _resend(self, conn: Connection, call: Call) -> None:
        if isinstance(call, (Subscribe, Unsubscribe)):
            self.core.forget(call)  # they are the old connection's
            return
        if isinstance(call, Renew) and call.lease is not None and not call.lease.held:
            self.core.end(call, error=LockReleasedError("The lock is released", lock_name=call.name))
            return
        if isinstance(call, Acquire) and call.first is not None:
            # Under a new id: the service may hold the old one still. The same requestId keeps the place.
            self.core.rename(call, keep=False)
        conn.put(call)
        if isinstance(call, Acquire) and not call.wanted:
            self.core.take_back(call)

    def probe(self, lease: Lease) -> None:
        """Ask whether a lock is still held, with a renewal that nobody waits for."""
        if lease.held:
            self.core.submit(Renew(None, lease.name, lease.renewal_token, None, lease))


def _final(error: Exception) -> bool:
    """Report whether it will be the same next time: it is about the token, or about the client id."""
    return isinstance(error, LockError) and not retryable(error)

"""Being told of what happens to locks."""

from __future__ import annotations

import asyncio
import collections
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from .calls import Subscribe, Unsubscribe
from .errors import NoWebSocketError, unavailable
from .model import Event

if TYPE_CHECKING:
    from .connection import Connection
    from .core import Core

#: How many events may wait for a subscriber; when more come, they are a gap.
ROOM = 4096


def gap() -> Event:
    """Say that events may be missing."""
    return Event("gap", datetime.now(timezone.utc))


class Subscriber:
    """One subscription, over all connections."""

    def __init__(self, core: Core, locks: tuple[str, ...], events: tuple[str, ...]) -> None:
        self.core = core
        self.locks = locks
        self.events = events
        #: The service's name of it on the current connection, ``""`` while there is none.
        self.name = ""
        self._lived = False
        self._ended = False
        self._error: Exception | None = None
        self._waiting: collections.deque[Event] = collections.deque()
        self._news: asyncio.Future[None] | None = None

    def begin(self) -> None:
        """Ask for the events."""
        self.core.check_open()
        self.core.subscribers.add(self)
        if self.core.link.rest_only:
            self.end(unavailable(NoWebSocketError("a subscription needs a WebSocket, and none can be had")))
        elif self.core.link.conn is not None:
            self.core.submit(Subscribe(self))
        else:
            self.core.link.start()

    async def take(self) -> list[Event]:
        """Wait for events. None are the end, which may be an error."""
        while not self._waiting and not self._ended:
            self._news = self.core.loop.create_future()
            await self._news
        events = list(self._waiting)
        self._waiting.clear()
        if not events and self._error is not None:
            error, self._error = self._error, None
            raise error
        return events

    def push(self, event: Event) -> None:
        """Add an event. Where there is no room, all become a gap."""
        if len(self._waiting) >= ROOM:
            self._waiting.clear()
            self._waiting.append(gap())
        self._waiting.append(event)
        self._wake()

    def end(self, error: Exception | None) -> None:
        """End it, behind what came before."""
        if not self._ended:
            self._ended = True
            self._error = error
            self.stop()
            self._wake()

    def _wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    def live(self, conn: Connection, name: str) -> None:
        """Note the service's name of it on a connection."""
        if self not in self.core.subscribers:
            self.core.submit(Unsubscribe(None, "", name))
            return
        self.name = name
        conn.subscribers[name] = self
        if self._lived:
            self.push(gap())
        self._lived = True

    def stop(self) -> None:
        """Be told of nothing more."""
        core, conn = self.core, self.core.link.conn
        core.subscribers.discard(self)
        name, self.name = self.name, ""
        if conn is None or not name or core.closed:
            return  # one that is only just being answered is ended then
        conn.subscribers.pop(name, None)
        core.submit(Unsubscribe(None, "", name))

"""The client itself, inside of one event loop: what is under way, what is held, and how it all ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from . import frames
from .calls import LONGEST_ASK, SHORTEST_ASK, Acquire, Call, Release, Renew
from .connection import Connection, silent
from .errors import ClientClosedError, NoWebSocketError, TooLargeError, unavailable
from .lease import Lease
from .link import Link
from .rest import Rest
from .settings import Settings
from .subscription import Subscriber

log = logging.getLogger("distributed_lock_client")
T = TypeVar("T")

#: How long close waits for what is given back.
CLOSE_PATIENCE = 2.0


class Core:
    """All state of a client. Everything here runs in the thread of its event loop."""

    def __init__(self, settings: Settings, tell: Callable[[Callable[[], object]], object]) -> None:
        self.settings = settings
        #: Calls what a user gave to be called.
        self.tell = tell
        self.loop = asyncio.get_running_loop()
        self.thread = threading.get_ident()
        self.rest = Rest(self)
        self.link = Link(self)
        #: The longest wait that one request asks for.
        self.longest_ask = LONGEST_ASK
        #: Done as the client's end begins. ``over`` takes not even releases.
        self.closing: asyncio.Future[None] = self.loop.create_future()
        self.over = False
        self.pending: dict[str, Call] = {}
        self.held: dict[str, Lease] = {}
        # Locks that were lost, until their leases have surely ended; and when those that had were taken out.
        self._lapsed: dict[str, float] = {}
        self._tidied = 0.0
        self.subscribers: set[Subscriber] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._last_id = 0
        # What close waits for: releases, and calls that nobody else waits for.
        self._loose = 0
        self._calm: asyncio.Future[None] | None = None
        self._end: asyncio.Task[None] | None = None

    # Tasks, time and threads.

    @property
    def closed(self) -> bool:
        return self.closing.done()

    def check_open(self) -> None:
        if self.closed:
            raise ClientClosedError

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Begin a task that ends with the client."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def pause(self, delay: float) -> None:
        """Wait, less where the client ends: that is an error then."""
        await asyncio.wait({self.closing}, timeout=delay)
        self.check_open()

    def post(self, act: Callable[[], object]) -> None:
        """Do something in the loop's thread: now, where this is it."""
        if threading.get_ident() == self.thread:
            act()
        else:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and all with it
                self.loop.call_soon_threadsafe(act)

    # What is under way.

    @property
    def wanted(self) -> bool:
        """Whether anything depends on a connection."""
        return not self.over and bool(self.pending or self.held or self.subscribers)

    def calls(self) -> list[Call]:
        """All calls, in the order of their sending, each once."""
        return [call for id_, call in self.pending.items() if id_ == call.id]

    def next_id(self) -> str:
        self._last_id += 1
        return str(self._last_id)

    def submit(self, call: Call) -> None:
        """Send a call, now or as soon as there is a connection."""
        if self.over or (self.closed and not call.unattended and not isinstance(call, Release)):
            raise ClientClosedError
        call.id = self.next_id()
        self.pending[call.id] = call
        if call.unattended or isinstance(call, Release):
            self._loosen(call)
        if self.link.conn is None:
            self.link.start()
        elif not self.link.conn.put(call):
            self.forget(call)
            raise TooLargeError("A request may have 64 KiB at most", status=413, lock_name=call.name)

    async def answer(self, call: Call, until: float | None, patience: float | None = None) -> Any:
        """Submit a call and wait for its answer: until then, where that is not ``None``.

        A connection that says nothing for the patience is given up. Who is cancelled takes the call back.
        """
        assert call.done is not None
        self.submit(call)
        call.until = until
        call.patience = patience or call.patience
        self._arm(call)
        try:
            return await call.done
        except asyncio.CancelledError:
            self._leave(call)
            raise
        finally:
            if call.timer is not None:
                call.timer.cancel()

    def _arm(self, call: Call) -> None:
        """Have a look at a call when something is to be done about it."""
        patience = call.patience
        now = time.monotonic()
        times = []
        if isinstance(call, Acquire):
            if call.sent is None:  # it is asked for only as there is a connection
                patience = min(patience, self.longest_ask / 2)
            times.append(call.refresh_at())
        times += [now + patience, call.until]
        soon = min(t for t in times if t is not None)
        call.timer = self.loop.call_later(max(soon - now, 0.001), self._look, call)

    def _look(self, call: Call) -> None:
        """Give up a call whose time is over, ask for a wait that is about to end, drop a connection that is silent."""
        now = time.monotonic()
        conn = self.link.conn
        if not call.wanted:
            return
        if call.until is not None and now >= call.until:
            self.give_up(call, unavailable(self.link.cause))
            return
        if isinstance(call, Acquire):
            at = call.refresh_at()
            if at is not None and now >= at:
                self._refresh(call)
        if conn is None:
            self.link.start()
        elif call.due_since is not None and min(now - conn.heard, now - call.due_since) >= call.patience:
            conn.kill(silent())
        self._arm(call)

    def _refresh(self, call: Acquire) -> None:
        """Ask for the place of a waiting acquire again, with more time."""
        if self.link.conn is None or self.pending.get(call.id) is not call:
            return  # the next connection asks anyway
        self.rename(call, keep=True)
        self.link.conn.put(call)

    def rename(self, call: Acquire, *, keep: bool) -> None:
        """Give an acquire a new id. Those it had are answered too, where they are of the same connection: ``keep``."""
        if keep:
            call.older.append(call.id)
        else:
            for id_ in call.ids:
                self.pending.pop(id_, None)
            call.older.clear()
        call.id = self.next_id()
        call.longest = self.longest_ask
        call.queued = False
        self.pending[call.id] = call

    def shorten(self) -> bool:
        """Ask for waits in smaller parts, where the service refused one. It reports whether that may help."""
        if self.longest_ask <= SHORTEST_ASK:
            return False
        self.longest_ask = max(self.longest_ask / 2, SHORTEST_ASK)
        return True

    def end(self, call: Call, result: object = None, error: Exception | None = None) -> None:
        """Answer a call."""
        self.forget(call)
        if error is None:
            call.answer(result)
        else:
            call.fail(error)

    def end_all(self, error: Exception) -> None:
        """Answer every call. What nobody waits for goes over REST, where only the WebSocket is missing."""
        for call in self.calls():
            if isinstance(error, NoWebSocketError) and isinstance(call, Release) and not call.wanted:
                self.release_by_rest(call.name, call.secret)
            self.end(call, error=error)
        for subscriber in list(self.subscribers):
            subscriber.end(unavailable(error) if isinstance(error, NoWebSocketError) else error)

    def forget(self, call: Call) -> None:
        """Take a call out."""
        ids = call.ids if isinstance(call, Acquire) else [call.id]
        for id_ in ids:
            self.pending.pop(id_, None)
        if call.loose:
            call.loose = False
            self.tightened()

    def give_up(self, call: Call, error: Exception) -> None:
        """End a call for its caller, whatever comes of it."""
        call.fail(error)
        self._leave(call)

    def _leave(self, call: Call) -> None:
        """Have nobody wait for a call any more. What it was granted goes back."""
        assert call.done is not None
        if not call.done.cancelled() and call.done.exception() is None:
            result = call.done.result()  # it was there a moment before
            if isinstance(result, Lease):
                result.let_go()
            return
        if isinstance(call, Renew) and call.lease is not None and call.first is not None:
            call.lease.unsure(call.first, call.ttl)
        if self.pending.get(call.id) is call:
            self.abandon(call)

    def abandon(self, call: Call) -> None:
        """Take back an acquire that was sent; what it is granted all the same goes back too."""
        if not isinstance(call, Acquire) or call.first is None:
            self.forget(call)
            return
        call.done = None
        self._loosen(call)
        self.take_back(call)

    def take_back(self, call: Acquire) -> None:
        """Send the cancels of an acquire that nobody waits for: one for each answer that is due."""
        if self.link.conn is not None:  # else the next connection does
            for id_ in call.ids:
                self.link.conn.cancel(self.next_id(), id_)

    # What goes back behind its caller.

    def give_back(self, name: str, lock_id: str) -> None:
        """Release a grant that nobody wants, over what there is."""
        if self.over:
            return
        if self.link.rest_only:
            self.release_by_rest(name, lock_id)
        else:
            self.submit(Release(None, name, lock_id))

    def release_by_rest(self, name: str, lock_id: str) -> None:
        """Release a grant over REST, and nobody waits for it."""

        async def release() -> None:
            try:
                await self.rest.release(name, lock_id)
            except Exception as error:  # noqa: BLE001 - the lease runs out
                log.info("the lock %r was not given back: %s", name, error)

        self.behind(release())

    def behind(self, work: Coroutine[Any, Any, object]) -> None:
        """Do something that only close waits for."""
        self.loosen()
        self.spawn(work).add_done_callback(lambda _: self.tightened())

    def _loosen(self, call: Call) -> None:
        if not call.loose:
            call.loose = True
            self.loosen()

    def loosen(self) -> None:
        """Have close wait for one more thing, until it is ``tightened``."""
        self._loose += 1

    def tightened(self) -> None:
        self._loose -= 1
        if self._loose == 0 and self._calm is not None and not self._calm.done():
            self._calm.set_result(None)

    # What comes.

    def handle(self, conn: Connection, frame: dict[str, Any]) -> None:
        """Do what a frame tells. Frames of a connection that another has followed are nothing any more."""
        if self.link.conn is conn:
            frames.handle(self, conn, frame)

    def lapse(self, lock_id: str, end: float) -> None:
        """Keep the id of a lock that was lost until its lease has surely ended.

        The service may tell of the grant once more until then, and it is not to be given back before its end, which
        somebody may rely on.
        """
        now = time.monotonic()
        if now - self._tidied > 1:
            self._tidied = now
            self._lapsed = {id_: until for id_, until in self._lapsed.items() if until >= now}
        self._lapsed[lock_id] = end

    def lapsed(self, lock_id: str) -> bool:
        return lock_id in self._lapsed

    def sweep(self) -> None:
        """Find the locks whose time has come."""
        for lease in list(self.held.values()):
            lease.check()

    # The end.

    async def close(self) -> None:
        """End waits, give back what is held, and leave nothing."""
        if self._end is None:
            self._end = self.loop.create_task(self._close())
        await asyncio.shield(self._end)

    async def _close(self) -> None:
        self.closing.set_result(None)
        for subscriber in list(self.subscribers):
            subscriber.end(None)
        for call in self.calls():
            if isinstance(call, Acquire) and call.wanted:
                self.give_up(call, ClientClosedError())
            elif call.unattended and not isinstance(call, (Acquire, Release)):
                self.forget(call)
        for lease in list(self.held.values()):
            lease.let_go()
        if self._loose:
            self._calm = self.loop.create_future()
            await asyncio.wait({self._calm}, timeout=CLOSE_PATIENCE)
            if self._loose:
                log.warning("closed with %d grants perhaps not given back: their leases run out", self._loose)
        self.over = True
        for call in self.calls():
            self.end(call, error=ClientClosedError())
        await self.link.stop(ClientClosedError())
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.rest.close()

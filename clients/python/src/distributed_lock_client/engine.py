"""Runs a client's event loop in a thread of its own, for callers that block."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import queue
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from .core import Core
from .errors import ClientClosedError, WaitCancelledError
from .model import Place
from .settings import Settings
from .threads import Threads

T = TypeVar("T")

#: How long close waits for callbacks that run.
CALLBACK_PATIENCE = 2.0
#: How long a callback waits for one that blocks, before it gets a thread of its own.
RELIEF = 0.05
#: How often an engine whose client is gone looks whether anything still depends on it.
RETIRED_LOOK = 1.0


class CancelToken:
    """Ends waits from another thread: who waits with ``cancel=token`` leaves the line and gets ``WaitCancelledError``.

    It is set once, for all calls that have it, later ones too.
    """

    def __init__(self) -> None:
        self._mu = threading.Lock()
        self._cancelled = False
        self._watchers: list[Callable[[], object]] = []

    @property
    def cancelled(self) -> bool:
        return self._cancelled

    def cancel(self) -> None:
        """End the waits. It is idempotent."""
        with self._mu:
            self._cancelled = True
            watchers, self._watchers = self._watchers, []
        for told in watchers:
            told()

    def _watch(self, told: Callable[[], object]) -> None:
        with self._mu:
            if not self._cancelled:
                self._watchers.append(told)
                return
        told()

    def _unwatch(self, told: Callable[[], object]) -> None:
        with self._mu, contextlib.suppress(ValueError):
            self._watchers.remove(told)


class Handover(Generic[T]):
    """One call of a thread's that is done in the loop.

    Whatever interrupts the thread, the call is cancelled, and a result that crosses that is disposed of.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # What the thread waits for: places in line, then a result or an error.
        self._told: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._task: asyncio.Task[None] | None = None
        self._settled = False
        self._result: list[T] = []
        self._work: Callable[[], Coroutine[Any, Any, T]] | None = None
        self._dispose: Callable[[T], object] | None = None

    def place(self, place: Place) -> None:
        """Tell the thread of a place in line."""
        self._told.put(("place", place))

    def run(
        self,
        work: Callable[[], Coroutine[Any, Any, T]],
        *,
        dispose: Callable[[T], object] | None = None,
        on_place: Callable[[Place], object] | None = None,
        cancel: CancelToken | None = None,
    ) -> T:
        """Do something in the loop, and wait for it."""
        self._work, self._dispose = work, dispose
        try:
            self._engine.post(self._start, self._refuse)
            if cancel is not None:
                cancel._watch(self._cancel_soon)
            return self._wait(on_place)
        except BaseException:
            self._engine.post(self._abandon, lambda: None)
            raise
        finally:
            if cancel is not None:
                cancel._unwatch(self._cancel_soon)

    def _wait(self, on_place: Callable[[Place], object] | None) -> T:
        while True:
            kind, value = self._told.get()
            if kind == "result":
                result: T = value
                return result
            if kind == "error":
                raise value
            if on_place is not None:
                on_place(value)

    # In the loop's thread.

    def _start(self) -> None:
        assert self._work is not None
        if not self._settled:
            self._task = self._engine.loop.create_task(self._do(self._work))

    async def _do(self, work: Callable[[], Coroutine[Any, Any, T]]) -> None:
        try:
            result = await work()
        except asyncio.CancelledError:
            self._settle("error", ClientClosedError())
        except BaseException as error:  # noqa: BLE001 - it is raised in the thread
            self._settle("error", error)
        else:
            if self._settled:
                self._drop(result)
            else:
                self._result.append(result)
                self._settle("result", result)

    def _settle(self, kind: str, value: object) -> None:
        if not self._settled:
            self._settled = True
            self._told.put((kind, value))

    def _refuse(self) -> None:
        self._settle("error", ClientClosedError())

    def _abandon(self) -> None:
        """Note that the thread does not wait any more."""
        self._settled = True
        if self._task is not None and not self._task.done():
            self._task.cancel()
        while self._result:
            self._drop(self._result.pop())

    def _drop(self, result: T) -> None:
        if self._dispose is not None:
            self._dispose(result)

    def _cancel_soon(self) -> None:
        self._engine.post(self._cancel, lambda: None)

    def _cancel(self) -> None:
        if not self._settled:
            self._settle("error", WaitCancelledError("The wait was cancelled"))
            if self._task is not None:
                self._task.cancel()


class Engine:
    """The loop, its thread, and the client's core in it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._inbox: collections.deque[tuple[Callable[[], object], Callable[[], object]]] = collections.deque()
        self._woken = False
        self._stopped = False
        self._callbacks = Threads("distributed-lock-callback")
        self.loop = asyncio.new_event_loop()
        self._stop: asyncio.Event = asyncio.Event()
        self._relief: asyncio.TimerHandle | None = None
        self._ready = threading.Event()
        self.core: Core
        self._thread = threading.Thread(target=self._run, name="distributed-lock-client", daemon=True)
        self._thread.start()
        self._ready.wait()

    def _run(self) -> None:
        try:
            self.loop.run_until_complete(self._main())
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
        finally:
            self._stopped = True
            self._drain()
            self.loop.close()

    async def _main(self) -> None:
        self.core = Core(self._settings, self._tell)
        self._ready.set()
        await self._stop.wait()
        await self.core.close()
        await self._callbacks.close(CALLBACK_PATIENCE)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _tell(self, callback: Callable[[], object]) -> None:
        """Call what a user gave to be called: one thread does, but no other callback waits long for one that blocks."""
        if self._callbacks.queue(callback) or self._relief is not None:
            return
        if self._callbacks.any:
            self._relief = self.loop.call_later(RELIEF, self._relieve)
        else:
            self._callbacks.grow()

    def _relieve(self) -> None:
        more = self._callbacks.grow()
        self._relief = self.loop.call_later(RELIEF, self._relieve) if more else None

    def post(self, act: Callable[[], object], refuse: Callable[[], object]) -> None:
        """Do something in the loop's thread, with all else of this moment; refuse it where the loop is over."""
        self._inbox.append((act, refuse))
        if self._stopped:
            self._drain()
        elif not self._woken:
            self._woken = True
            try:
                self.loop.call_soon_threadsafe(self._drain)
            except RuntimeError:  # it is just over
                self._drain()

    def _drain(self) -> None:
        self._woken = False
        while True:
            try:
                act, refuse = self._inbox.popleft()
            except IndexError:
                return
            if self._stopped:
                refuse()
            else:
                act()

    def call(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Do something in the loop, and wait for it."""
        return Handover[T](self).run(work)

    def close(self) -> None:
        """Close the client, and wait for the thread's end."""
        self.post(self._stop.set, lambda: None)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def retire(self) -> None:
        """End once nothing depends on the client, which is gone."""
        self.post(self._retire, lambda: None)

    def _retire(self) -> None:
        if self.core.wanted:
            self.loop.call_later(RETIRED_LOOK, self._retire)
        else:
            self._stop.set()

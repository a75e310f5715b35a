"""Subscriptions as their users see them."""

from __future__ import annotations

import collections
from types import TracebackType

from .core import Core
from .engine import Engine
from .errors import ClientClosedError
from .model import Event
from .subscription import Subscriber


class Subscription:
    """What ``client.subscribe(…)`` returns: an iterator of events that ends with :meth:`close`, or the client's."""

    def __init__(self, engine: Engine, locks: tuple[str, ...], events: tuple[str, ...]) -> None:
        self._engine = engine
        self._subscriber = Subscriber(engine.core, locks, events)
        self._told: collections.deque[Event] = collections.deque()
        engine.call(self._begin)

    async def _begin(self) -> None:
        self._subscriber.begin()

    def __iter__(self) -> Subscription:
        return self

    def __next__(self) -> Event:
        if not self._told:
            try:
                self._told.extend(self._engine.call(self._subscriber.take))
            except ClientClosedError:
                raise StopIteration from None
        if not self._told:
            raise StopIteration
        return self._told.popleft()

    def close(self) -> None:
        """Be told of nothing more: who iterates comes to the end. It is idempotent."""
        self._told.clear()
        self._engine.post(lambda: self._subscriber.end(None), lambda: None)

    def __enter__(self) -> Subscription:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()


class AsyncSubscription:
    """What ``client.subscribe(…)`` returns: an asynchronous iterator of events.

    It ends with :meth:`close`, or the client's.
    """

    def __init__(self, core: Core, locks: tuple[str, ...], events: tuple[str, ...]) -> None:
        self._subscriber = Subscriber(core, locks, events)
        self._told: collections.deque[Event] = collections.deque()
        self._subscriber.begin()

    def __aiter__(self) -> AsyncSubscription:
        return self

    async def __anext__(self) -> Event:
        if not self._told:
            self._told.extend(await self._subscriber.take())
        if not self._told:
            raise StopAsyncIteration
        return self._told.popleft()

    def close(self) -> None:
        """Be told of nothing more: who iterates comes to the end. It is idempotent."""
        self._told.clear()
        self._subscriber.end(None)

    async def __aenter__(self) -> AsyncSubscription:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

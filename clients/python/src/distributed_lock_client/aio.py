"""The client for asyncio: one for all tasks of an event loop."""

from __future__ import annotations

import asyncio
import functools
import inspect
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from datetime import timedelta
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from . import fork, queries
from .acquire import acquire
from .aiolocks import AsyncLock, AsyncLockContext
from .core import Core
from .errors import ClientClosedError, LockHeldError
from .events import AsyncSubscription
from .model import Graph, Health, Holder, Place, Renewal, Stats, Status
from .owner import task_owner
from .release import release_by_id
from .renew import renew_by_token
from .request import DEFAULT_TTL, DEFAULT_WAIT, Metadata, Mode, Seconds, build, lock_name, seconds, utf8
from .settings import Settings

P = ParamSpec("P")
R = TypeVar("R")


class AsyncDistributedLockClient:
    """Talks to the lock service at ``url``, http or https, over one WebSocket for all tasks.

    It connects with the first call that needs it, and belongs to the event loop of that. Close it at the end, or use it
    as an asynchronous context manager: what is held is released then. The arguments, and the errors of all calls, are
    those of :class:`DistributedLockClient`. Whoever cancels a call's task leaves the line, and a grant that crosses
    that goes back.
    """

    def __init__(
        self,
        url: str,
        *,
        endpoints: Iterable[str] = (),
        token: str | None = None,
        client_id: str | None = None,
        tls: ssl.SSLContext | None = None,
        web_socket: bool = True,
        http_timeout: float | timedelta = 10,
    ) -> None:
        self._settings = Settings.read(url, endpoints, token, client_id, tls, web_socket, http_timeout)
        self._core: Core | None = None
        self._closed = False
        fork.register(self)

    def __repr__(self) -> str:
        return f"<AsyncDistributedLockClient {self.client_id!r} of {self._settings.endpoints[0].authority}>"

    @property
    def client_id(self) -> str:
        """Who the client is to the service."""
        return self._settings.client_id

    def _running(self) -> Core:
        """Begin with the first call, and anew in another loop once that one is over."""
        loop = asyncio.get_running_loop()
        core = self._core
        if core is not None and core.loop is loop:
            return core
        if self._closed:
            raise ClientClosedError
        if core is not None and not core.loop.is_closed():
            raise RuntimeError("this client belongs to another event loop, which is not over")
        self._core = core = Core(self._settings, loop.call_soon)
        return core

    def _in_child(self) -> None:
        """Start anew in a forked child: another client, of which the parent's locks are not."""
        self._settings = self._settings.in_child()
        core, self._core = self._core, None
        if core is not None:
            fork.disown(core)

    async def close(self) -> None:
        """End waits with ``ClientClosedError``, release what is held (in 2 s at most), leave nothing. Idempotent."""
        self._closed = True
        core = self._core
        if core is not None and not core.loop.is_closed():
            await core.close()

    async def __aenter__(self) -> AsyncDistributedLockClient:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.close()

    # Locks.

    async def acquire(
        self,
        name: str,
        timeout: Seconds | None = DEFAULT_TTL,
        wait_timeout: Seconds | None = DEFAULT_WAIT,
        auto_renew: bool = False,
        max_hold: Seconds | None = None,
        metadata: Metadata | None = None,
        mode: Mode = "exclusive",
        limit: int | None = None,
        owner: str | None = None,
        request_id: str | None = None,
        on_queued: Callable[[Place], object] | None = None,
        on_lost: Callable[[AsyncLock], object] | None = None,
    ) -> AsyncLock:
        """Take a lock, waiting in line for it. Release what it returns.

        The arguments and errors are those of :meth:`DistributedLockClient.acquire`, but that the owner is by default
        the current task's, which its child tasks do not inherit; and that ``on_queued`` and ``on_lost`` are called by
        the event loop.
        """
        core = self._running()
        request = build(
            name,
            owner or task_owner(),
            timeout=timeout,
            wait_timeout=wait_timeout,
            auto_renew=auto_renew,
            max_hold=max_hold,
            metadata=metadata,
            mode=mode,
            limit=limit,
            request_id=request_id,
            on_queued=on_queued,
        )
        lock = AsyncLock(await acquire(core, request))
        if on_lost is not None:
            lock.on_lost(on_lost)
        return lock

    async def try_lock(
        self,
        name: str,
        timeout: Seconds | None = DEFAULT_TTL,
        auto_renew: bool = False,
        max_hold: Seconds | None = None,
        metadata: Metadata | None = None,
        mode: Mode = "exclusive",
        limit: int | None = None,
        owner: str | None = None,
        request_id: str | None = None,
        on_lost: Callable[[AsyncLock], object] | None = None,
    ) -> AsyncLock | None:
        """Take a lock that is free, as :meth:`acquire` does; ``None`` where somebody holds it.

        It tries for 5 s at most to reach the service.
        """
        try:
            return await self.acquire(
                name, timeout, 0, auto_renew, max_hold, metadata, mode, limit, owner, request_id, None, on_lost
            )
        except LockHeldError:
            return None

    def lock(
        self,
        name: str,
        timeout: Seconds | None = DEFAULT_TTL,
        wait_timeout: Seconds | None = DEFAULT_WAIT,
        auto_renew: bool = False,
        max_hold: Seconds | None = None,
        metadata: Metadata | None = None,
        mode: Mode = "exclusive",
        limit: int | None = None,
        owner: str | None = None,
        request_id: str | None = None,
        on_queued: Callable[[Place], object] | None = None,
        on_lost: Callable[[AsyncLock], object] | None = None,
    ) -> AsyncLockContext:
        """Hold a lock while a block runs: ``async with client.lock("x") as lock:``. Arguments: as :meth:`acquire`'s.

        The block's end releases the lock. When the lock is lost, the block is cancelled and raises ``LockLostError``.
        It may be used again, one block after another.
        """
        return AsyncLockContext(
            lambda: self.acquire(
                name,
                timeout,
                wait_timeout,
                auto_renew,
                max_hold,
                metadata,
                mode,
                limit,
                owner,
                request_id,
                on_queued,
                on_lost,
            )
        )

    def locked(
        self,
        name: str | Callable[..., str],
        timeout: Seconds | None = DEFAULT_TTL,
        wait_timeout: Seconds | None = DEFAULT_WAIT,
        auto_renew: bool = False,
        max_hold: Seconds | None = None,
        metadata: Metadata | None = None,
        mode: Mode = "exclusive",
        limit: int | None = None,
    ) -> Callable[[Callable[P, Awaitable[R]]], Callable[P, Coroutine[Any, Any, R]]]:
        """Decorate a coroutine function that runs under a lock. The name may be made of its arguments."""

        def decorate(function: Callable[P, Awaitable[R]]) -> Callable[P, Coroutine[Any, Any, R]]:
            if not inspect.iscoroutinefunction(function):
                raise TypeError("only coroutine functions run under a lock here: see DistributedLockClient.locked")

            @functools.wraps(function)
            async def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
                text = name if isinstance(name, str) else name(*args, **kwargs)
                async with self.lock(text, timeout, wait_timeout, auto_renew, max_hold, metadata, mode, limit):
                    return await function(*args, **kwargs)

            return wrapper

        return decorate

    async def release(self, name: str, lock_id: str) -> float:
        """Give a grant back by its id, for programs that keep that, and tell for how many seconds it was held."""
        return await release_by_id(self._running(), lock_name(name), utf8("lock_id", lock_id))

    async def renew(
        self,
        name: str,
        renewal_token: str,
        timeout: Seconds | None = None,
    ) -> Renewal:
        """Give a grant a new lease by its token; ``None`` is the lease's own length."""
        ttl = None if timeout is None else seconds("timeout", timeout)
        return await renew_by_token(self._running(), lock_name(name), utf8("renewal_token", renewal_token), ttl)

    # What is known of locks.

    async def status(self, name: str) -> Status:
        """Tell who holds a lock and who waits for it. A free lock is no error."""
        return await queries.status(self._running(), lock_name(name))

    async def list_locks(self, prefix: str = "") -> AsyncIterator[Status]:
        """Go through the locks held whose names begin with prefix. Pages are asked for as they are needed.

        A lock held throughout appears exactly once.
        """
        core, cursor = self._running(), ""
        while True:
            page = await queries.page(core, prefix, cursor)
            for status in page.locks:
                yield status
            cursor = page.cursor
            if not cursor:
                return

    async def stats(self) -> Stats:
        """Count what the cluster does."""
        return await queries.stats(self._running())

    async def graph(self) -> Graph:
        """Tell who waits for whom."""
        return await queries.graph(self._running())

    async def graph_dot(self) -> str:
        """Draw the graph for Graphviz."""
        return await queries.graph_dot(self._running())

    async def health(self) -> Health:
        """Tell how the node that is asked is. Raises ``LockServiceUnavailable`` where Redis does not answer."""
        return await queries.health(self._running())

    async def force_release(self, name: str, reason: str = "") -> list[Holder]:
        """Take a lock from its holders, who are told, and return them. It needs an admin's token."""
        return await queries.force_release(self._running(), lock_name(name), reason)

    def subscribe(self, locks: str | Iterable[str] = "*", events: Iterable[str] = ()) -> AsyncSubscription:
        """Be told of what happens to locks, as by :meth:`DistributedLockClient.subscribe`. To be called in the loop."""
        return AsyncSubscription(self._running(), (locks,) if isinstance(locks, str) else tuple(locks), tuple(events))

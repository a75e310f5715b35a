"""The client for programs that block: one for all threads."""

from __future__ import annotations

import functools
import inspect
import ssl
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from types import TracebackType
from typing import ParamSpec, TypeVar

from . import fork, queries
from .acquire import acquire
from .engine import CancelToken, Engine, Handover
from .errors import ClientClosedError, LockHeldError
from .events import Subscription
from .lease import Lease
from .locks import Lock, LockContext
from .model import Graph, Health, Holder, Place, Renewal, Stats, Status
from .owner import thread_owner
from .release import release_by_id
from .renew import renew_by_token
from .request import DEFAULT_TTL, DEFAULT_WAIT, Metadata, Mode, Seconds, build, lock_name, seconds, utf8
from .settings import Settings

P = ParamSpec("P")
R = TypeVar("R")


class DistributedLockClient:
    """Talks to the lock service at ``url``, http or https, over one WebSocket for all threads.

    It connects with the first call that needs it. Close it at the end, or use it as a context manager: what is held is
    released then. In a forked child it starts anew, as another client.

    :param endpoints: more nodes, or addresses of the service, in the order to try them when one fails
    :param token: bearer token
    :param client_id: who this is to the service, 1 to 256 bytes; by default made of host, process id and chance
    :param tls: how to speak TLS, for https addresses; by default as ``ssl.create_default_context()`` does
    :param web_socket: ``False`` uses REST alone: each wait is then a connection of its own, and a loss that is not the
        lease's end is noticed late
    :param http_timeout: seconds that a REST call and a WebSocket's handshake may take, waits in line aside

    Raises ``InvalidArgumentError`` for an address that is none.

    What an acquire may be given, by whatever method:

    :param timeout: the lease in seconds, 0.1 to the service's ``MAX_TIMEOUT``; ``None`` is the service's default
    :param wait_timeout: seconds to wait in line; ``None`` waits without bound, 0 tries once
    :param auto_renew: renew the lease, every third of it, until the lock is released or lost
    :param max_hold: seconds after the grant at which renewing ends; the lease then runs out
    :param metadata: for people who look at the lock, 4 KiB as JSON at most
    :param mode: ``"shared"`` holds together with others who do: readers together, writers alone
    :param limit: one of so many permits, 1 to 10,000; all who use the lock must say the same
    :param owner: whose the lock is, for finding deadlocks; by default the calling thread's, or that of
        :func:`lock_owner`. Who asks again for what it holds itself gets a ``DeadlockError`` at once
    :param request_id: names the request, so that asking again gets the same grant or place; by default random
    :param on_queued: called in this thread with the place in line when it is told, and whenever it changes
    :param on_lost: called once in a thread of the client's when the lock is lost
    :param cancel: ends the wait from another thread
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
        self._mu = threading.Lock()
        self._engine: Engine | None = None
        self._closed = False
        self._finalizer: weakref.finalize[[], DistributedLockClient] | None = None
        fork.register(self)

    def __repr__(self) -> str:
        return f"<DistributedLockClient {self.client_id!r} of {self._settings.endpoints[0].authority}>"

    @property
    def client_id(self) -> str:
        """Who the client is to the service."""
        return self._settings.client_id

    def _running(self) -> Engine:
        """Begin with the first call."""
        engine = self._engine
        if engine is not None:
            return engine
        with self._mu:
            if self._closed:
                raise ClientClosedError
            if self._engine is None:
                self._engine = engine = Engine(self._settings)
                self._finalizer = weakref.finalize(self, engine.retire)
                self._finalizer.atexit = False
            return self._engine

    def _in_child(self) -> None:
        """Start anew in a forked child: another client, of which the parent's locks are not."""
        self._mu = threading.Lock()
        self._settings = self._settings.in_child()
        engine, self._engine = self._engine, None
        if self._finalizer is not None:
            self._finalizer.detach()
        if engine is not None:
            fork.disown(engine.core, engine)

    def close(self) -> None:
        """End waits with ``ClientClosedError``, release what is held (in 2 s at most), leave nothing. Idempotent."""
        with self._mu:
            self._closed = True
            engine = self._engine
        if engine is not None:
            engine.close()

    def __enter__(self) -> DistributedLockClient:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    # Locks.

    def acquire(
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
        on_lost: Callable[[Lock], object] | None = None,
        cancel: CancelToken | None = None,
    ) -> Lock:
        """Take a lock, waiting in line for it. Release what it returns. The class tells what may be given.

        Raises ``LockTimeoutError`` (``LockHeldError`` where it does not wait), ``DeadlockError``,
        ``LimitMismatchError``, ``RequestMismatchError``, ``InvalidArgumentError``, ``QueueFullError``,
        ``UnauthorizedError``, ``ForbiddenError``, ``WaitCancelledError``, ``ClientClosedError``, and
        ``LockServiceUnavailable`` with the last cause where the service was not reached in time: the wait, but 5 s at
        least. Whatever else interrupts it, the request leaves the line, and a grant that crosses that goes back.
        """
        engine = self._running()
        handover = Handover[Lease](engine)
        request = build(
            name,
            owner or thread_owner(),
            timeout=timeout,
            wait_timeout=wait_timeout,
            auto_renew=auto_renew,
            max_hold=max_hold,
            metadata=metadata,
            mode=mode,
            limit=limit,
            request_id=request_id,
            on_queued=handover.place if on_queued is not None else None,
        )
        lease = handover.run(
            lambda: acquire(engine.core, request), dispose=Lease.let_go, on_place=on_queued, cancel=cancel
        )
        lock = Lock(lease, engine)
        if on_lost is not None:
            lock.on_lost(on_lost)
        return lock

    def try_lock(
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
        on_lost: Callable[[Lock], object] | None = None,
    ) -> Lock | None:
        """Take a lock that is free, as :meth:`acquire` does; ``None`` where somebody holds it.

        It tries for 5 s at most to reach the service.
        """
        try:
            return self.acquire(
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
        on_lost: Callable[[Lock], object] | None = None,
        cancel: CancelToken | None = None,
    ) -> LockContext:
        """Hold a lock while a block runs: ``with client.lock("x") as lock:``. The arguments are :meth:`acquire`'s.

        The block's end releases the lock, and raises ``LockLostError`` where it was lost and the block raised nothing.
        It may be used again, one block after another.
        """
        return LockContext(
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
                cancel,
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
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Decorate a function that runs under a lock. The name may be made of its arguments, by a function of them."""

        def decorate(function: Callable[P, R]) -> Callable[P, R]:
            if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
                raise TypeError("only plain functions run under a lock here: see AsyncDistributedLockClient.locked")

            @functools.wraps(function)
            def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
                text = name if isinstance(name, str) else name(*args, **kwargs)
                with self.lock(text, timeout, wait_timeout, auto_renew, max_hold, metadata, mode, limit):
                    return function(*args, **kwargs)

            return wrapper

        return decorate

    def release(self, name: str, lock_id: str) -> float:
        """Give a grant back by its id, for programs that keep that, and tell for how many seconds it was held.

        Raises ``LockLostError`` where it is gone, ``NotOwnerError``, ``LockServiceUnavailable``.
        """
        engine, _ = self._running(), lock_name(name)
        return engine.call(lambda: release_by_id(engine.core, name, utf8("lock_id", lock_id)))

    def renew(self, name: str, renewal_token: str, timeout: Seconds | None = None) -> Renewal:
        """Give a grant a new lease by its token; ``None`` is the lease's own length.

        Raises ``LockLostError``, ``NotOwnerError``, ``InvalidArgumentError``, ``LockServiceUnavailable``.
        """
        engine, _ = self._running(), lock_name(name)
        ttl = None if timeout is None else seconds("timeout", timeout)
        return engine.call(lambda: renew_by_token(engine.core, name, utf8("renewal_token", renewal_token), ttl))

    # What is known of locks.

    def status(self, name: str) -> Status:
        """Tell who holds a lock and who waits for it. A free lock is no error."""
        engine, _ = self._running(), lock_name(name)
        return engine.call(lambda: queries.status(engine.core, name))

    def list_locks(self, prefix: str = "") -> Iterator[Status]:
        """Go through the locks held whose names begin with prefix. Pages are asked for as they are needed.

        A lock held throughout appears exactly once.
        """
        engine, cursor = self._running(), ""
        while True:
            page = engine.call(functools.partial(queries.page, engine.core, prefix, cursor))
            yield from page.locks
            cursor = page.cursor
            if not cursor:
                return

    def stats(self) -> Stats:
        """Count what the cluster does."""
        engine = self._running()
        return engine.call(lambda: queries.stats(engine.core))

    def graph(self) -> Graph:
        """Tell who waits for whom."""
        engine = self._running()
        return engine.call(lambda: queries.graph(engine.core))

    def graph_dot(self) -> str:
        """Draw the graph for Graphviz."""
        engine = self._running()
        return engine.call(lambda: queries.graph_dot(engine.core))

    def health(self) -> Health:
        """Tell how the node that is asked is. Raises ``LockServiceUnavailable`` where Redis does not answer."""
        engine = self._running()
        return engine.call(lambda: queries.health(engine.core))

    def force_release(self, name: str, reason: str = "") -> list[Holder]:
        """Take a lock from its holders, who are told, and return them. It needs an admin's token.

        The reason is logged, 1 KiB at most. Raises ``NotLockedError``, ``ForbiddenError``.
        """
        engine, _ = self._running(), lock_name(name)
        return engine.call(lambda: queries.force_release(engine.core, name, reason))

    def subscribe(self, locks: str | Iterable[str] = "*", events: Iterable[str] = ()) -> Subscription:
        """Be told of what happens to locks: names, or beginnings of names with a ``*`` behind.

        :param events: kinds, any of granted, released, expired, renewed, force_released, queued, dequeued, deadlock;
            all by default

        It goes on over reconnects, and then has an event of kind ``gap`` first. Iterating raises ``ForbiddenError``,
        ``InvalidArgumentError``, or ``LockServiceUnavailable`` where no WebSocket can be had.
        """
        return Subscription(self._running(), (locks,) if isinstance(locks, str) else tuple(locks), tuple(events))

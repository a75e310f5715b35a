"""Locks as the tasks that hold them see them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import Awaitable, Callable
from types import TracebackType

from .errors import LockError, LockLostError, NotOwnerError
from .lease import Lease, State
from .locks import BaseLock
from .renew import renew
from .request import Seconds, seconds

log = logging.getLogger("distributed_lock_client")


class AsyncLock(BaseLock):
    """A lock that was granted to an :class:`~distributed_lock_client.AsyncDistributedLockClient`.

    As an asynchronous context manager it is released at the end of the block. When the lock is lost, the block's task
    is cancelled, and the block raises ``LockLostError``.
    """

    def __init__(self, lease: Lease) -> None:
        super().__init__(lease)
        self._guard: _Guard | None = None

    def on_lost(self, callback: Callable[[AsyncLock], object]) -> None:
        """Have a function called once when the lock is lost, soon where it was: by the event loop."""
        self._own()
        self._when_lost(callback)

    async def wait_lost(self, timeout: Seconds | None = None) -> bool:
        """Wait until the lock is lost or released, or so many seconds, and tell whether it is lost."""
        self._own()
        patience = None if timeout is None else seconds("timeout", timeout)
        ended: asyncio.Future[None] = self._lease.core.loop.create_future()
        undo = self._lease.watch(lambda: None if ended.done() else ended.set_result(None))
        try:
            await asyncio.wait({ended}, timeout=patience)
        finally:
            undo()
        return self.lost

    async def renew(self, timeout: Seconds | None = None) -> None:
        """Give the lock a new lease of so many seconds from now on; ``None`` is the lease's own length.

        It tries until the lock is lost. Raises ``LockLostError``, ``LockReleasedError``, ``InvalidArgumentError``.
        """
        self._own()
        await renew(self._lease, None if timeout is None else seconds("timeout", timeout))

    async def release(self) -> None:
        """Give the lock back, trying for up to 5 s to tell the service. It is idempotent.

        Raises ``LockLostError`` where the lock was lost before, and ``LockServiceUnavailable`` where the service could
        not be told: the lease then runs out. Where the task is cancelled, the release goes on behind it.
        """
        self._own()
        await self._lease.release()

    async def __aenter__(self) -> AsyncLock:
        if self._guard is not None:
            raise RuntimeError("the lock guards a block already")
        self._guard = _Guard(self._lease)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        guard, self._guard = self._guard, None
        assert guard is not None
        ours = guard.end(exc)
        try:
            await self.release()
        except (LockLostError, NotOwnerError) as error:
            if exc_type is None or ours:
                raise error from exc
        except LockError as error:
            log.warning("the lock %r was not released, its lease runs out: %s", self.name, error)


class _Guard:
    """Cancels the task of a block when its lock is lost."""

    def __init__(self, lease: Lease) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._before = task.cancelling() if sys.version_info >= (3, 11) else 0
        self._cancelled = False
        self._over = False
        self._lease = lease
        # By the loop, not at once: the block may be what finds out, and is not to be cancelled while it runs.
        self._undo = lease.watch(lambda: lease.core.loop.call_soon(self._cancel))

    def _cancel(self) -> None:
        if not self._over and self._lease.state is State.LOST:
            self._cancelled = True
            self._task.cancel()

    def end(self, error: BaseException | None) -> bool:
        """End the guard, and tell whether the block ends by its cancelling and no other's."""
        self._over = True
        with contextlib.suppress(ValueError):
            self._undo()
        if not self._cancelled:
            return False
        if sys.version_info >= (3, 11) and self._task.uncancel() > self._before:
            return False
        return isinstance(error, asyncio.CancelledError)


class AsyncLockContext:
    """What ``client.lock(…)`` returns: a lock that is acquired by ``async with`` and released at the block's end."""

    def __init__(self, get: Callable[[], Awaitable[AsyncLock]]) -> None:
        self._get = get
        self._lock: AsyncLock | None = None
        self._entering = False

    async def __aenter__(self) -> AsyncLock:
        if self._entering:
            raise RuntimeError("the lock guards a block already: locks are not re-entrant")
        self._entering = True
        try:
            self._lock = await self._get()
            return await self._lock.__aenter__()
        except BaseException:
            self._entering = False
            raise

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        lock, self._lock, self._entering = self._lock, None, False
        assert lock is not None
        await lock.__aexit__(exc_type, exc, tb)

"""Locks as their holders see them."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from .errors import ClientClosedError, LockError, LockLostError, NotOwnerError
from .lease import Lease, State
from .renew import renew
from .request import Metadata, Seconds, seconds

if TYPE_CHECKING:
    from .engine import Engine

log = logging.getLogger("distributed_lock_client")


class BaseLock:
    """What all locks tell. Its attributes may be read from any thread."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self._pid = os.getpid()

    def __repr__(self) -> str:
        state = self._lease.state.value if self._pid == os.getpid() else "another process's"
        return f"<{type(self).__name__} {self.name!r} {state}, fencing token {self.fencing_token}>"

    @property
    def name(self) -> str:
        """The lock's name."""
        return self._lease.name

    @property
    def lock_id(self) -> str:
        """What the grant is released by: a secret."""
        return self._lease.lock_id

    @property
    def renewal_token(self) -> str:
        """What the grant is renewed by: a secret."""
        return self._lease.renewal_token

    @property
    def fencing_token(self) -> int:
        """Rises with every grant of the lock. Give it to what the lock protects, which refuses lower ones."""
        return self._lease.fencing_token

    @property
    def client_id(self) -> str:
        """Who holds the lock, for the service."""
        return self._lease.core.settings.client_id

    @property
    def owner_id(self) -> str:
        """Whose the lock is, for finding deadlocks."""
        return self._lease.q.owner

    @property
    def request_id(self) -> str:
        """Names the acquire."""
        return self._lease.q.id

    @property
    def waited(self) -> float:
        """Seconds that the request stood in line."""
        return self._lease.waited

    @property
    def auto_renew(self) -> bool:
        """Whether the client renews it."""
        return self._lease.q.auto_renew

    @property
    def metadata(self) -> Metadata | None:
        """For people who look at the lock, as it was given."""
        return self._lease.q.metadata

    @property
    def expires_in(self) -> float:
        """Seconds until the lease ends, by the local monotonic clock: never later than it ends at the service.

        The lock counts as lost a little before: a tenth of the lease, at least 10 ms and at most 500 ms.
        """
        return self._lease.ends - time.monotonic()

    @property
    def held(self) -> bool:
        """Whether the lock is held: neither lost nor released, and not another process's."""
        return self._pid == os.getpid() and self._lease.held

    @property
    def lost(self) -> bool:
        """Whether the lock was lost: its lease ended, or it was taken."""
        if self._pid != os.getpid():
            return False
        self._lease.check()
        return self._lease.state is State.LOST

    @property
    def loss(self) -> LockLostError | None:
        """Why the lock was lost; ``None`` where it was not."""
        return self._lease.why_lost() if self.lost else None

    def ensure_held(self) -> None:
        """Do nothing while the lock is held.

        Raises ``LockLostError``, ``LockReleasedError``, or ``NotOwnerError`` in a forked child.
        """
        self._own()
        self._lease.ensure()

    def _own(self) -> None:
        """Fail in a child of the process that holds the lock."""
        if self._pid != os.getpid():
            raise NotOwnerError(f"It belongs to process {self._pid}, which forked this one", lock_name=self.name)

    def _when_lost(self, callback: Callable[[Any], object]) -> None:
        lease = self._lease

        def ended() -> None:
            if lease.state is State.LOST:
                lease.core.tell(lambda: callback(self))

        lease.watch(ended)


class Lock(BaseLock):
    """A lock that was granted to a :class:`~distributed_lock_client.DistributedLockClient`. All threads may use it.

    As a context manager it is released at the end of the block, which raises ``LockLostError`` where the lock was lost.
    """

    def __init__(self, lease: Lease, engine: Engine) -> None:
        super().__init__(lease)
        self._engine = engine

    def on_lost(self, callback: Callable[[Lock], object]) -> None:
        """Have a function called once when the lock is lost, at once where it was: in a thread of the client's."""
        self._own()
        self._when_lost(callback)

    def wait_lost(self, timeout: Seconds | None = None) -> bool:
        """Wait until the lock is lost or released, or so many seconds, and tell whether it is lost."""
        self._own()
        end = None if timeout is None else time.monotonic() + seconds("timeout", timeout)
        ended = threading.Event()
        undo = self._lease.watch(ended.set)
        try:
            while self._lease.held and not ended.is_set():
                soon = self._lease.lost_at if end is None else min(end, self._lease.lost_at)
                ended.wait(max(soon - time.monotonic(), 0))
                if end is not None and time.monotonic() >= end:
                    break
        finally:
            undo()
        return self.lost

    def renew(self, timeout: Seconds | None = None) -> None:
        """Give the lock a new lease of so many seconds from now on; ``None`` is the lease's own length.

        It tries until the lock is lost. Raises ``LockLostError``, ``LockReleasedError``, ``InvalidArgumentError``.
        """
        self._own()
        ttl = None if timeout is None else seconds("timeout", timeout)
        self._engine.call(lambda: renew(self._lease, ttl))

    def release(self) -> None:
        """Give the lock back, trying for up to 5 s to tell the service. It is idempotent.

        Raises ``LockLostError`` where the lock was lost before, and ``LockServiceUnavailable`` where the service could
        not be told: the lease then runs out.
        """
        self._own()
        try:
            self._engine.call(self._lease.release)
        except ClientClosedError:
            self._lease.check()  # close has given it back
            if self._lease.state is State.LOST:
                raise self._lease.why_lost() from None

    def __enter__(self) -> Lock:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        try:
            self.release()
        except (LockLostError, NotOwnerError):
            if exc_type is None:
                raise
        except LockError as error:
            log.warning("the lock %r was not released, its lease runs out: %s", self.name, error)


class LockContext:
    """What ``client.lock(…)`` returns: a lock that is acquired by ``with`` and released at the block's end."""

    def __init__(self, get: Callable[[], Lock]) -> None:
        self._get = get
        self._lock: Lock | None = None

    def __enter__(self) -> Lock:
        if self._lock is not None:
            raise RuntimeError("the lock guards a block already: locks are not re-entrant")
        self._lock = lock = self._get()
        return lock

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        lock, self._lock = self._lock, None
        assert lock is not None
        lock.__exit__(exc_type, exc, tb)

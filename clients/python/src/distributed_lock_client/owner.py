"""Who acquires, for the service to find deadlocks: an owner that was named, or the calling thread or task."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
import uuid
import weakref
from collections.abc import Iterator
from contextvars import ContextVar

_named: ContextVar[str | None] = ContextVar("distributed_lock_owner", default=None)
_threads = threading.local()
_tasks: weakref.WeakKeyDictionary[asyncio.Task[object], str] = weakref.WeakKeyDictionary()


@contextlib.contextmanager
def lock_owner(name: str) -> Iterator[None]:
    """Name the owner of all locks that are acquired inside of the block.

    Tasks that begin inside, and functions given to :func:`asyncio.to_thread`, are of the same owner. Whatever one owner
    holds and waits for counts as one thread's: who asks for a lock that it holds itself gets a ``DeadlockError``.
    """
    token = _named.set(name)
    try:
        yield
    finally:
        _named.reset(token)


def thread_owner() -> str:
    """Tell the owner named by :func:`lock_owner`, else that of the calling thread."""
    name = _named.get()
    if name is not None:
        return name
    # A forked child's thread is another one, though it has the parent's memory.
    pid, owner = getattr(_threads, "owner", (0, ""))
    if pid != os.getpid():
        owner = new_id()
        _threads.owner = (os.getpid(), owner)
    return str(owner)


def task_owner() -> str:
    """Tell the owner named by :func:`lock_owner`, else that of the current task: its children are others."""
    name = _named.get()
    if name is not None:
        return name
    task = asyncio.current_task()
    if task is None:
        return thread_owner()
    owner = _tasks.get(task)
    if owner is None:
        owner = _tasks[task] = new_id()
    return owner


def new_id() -> str:
    """Make 128 random bits. They name a request or an owner and guard nothing."""
    return uuid.uuid4().hex


def default_client_id() -> str:
    """Tell people where the client runs."""
    return f"{socket.gethostname()[:100] or 'unknown'}-{os.getpid()}-{new_id()[:8]}"

"""Giving grants back."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from .calls import Release
from .errors import LockError, NoWebSocketError, give_up, retryable
from .timing import backoff

if TYPE_CHECKING:
    from .core import Core


async def release_until(core: Core, name: str, lock_id: str, until: float, resent: list[bool]) -> float:
    """Release until then, over whatever connections it takes, and tell for how many seconds it was held.

    ``resent[0]`` becomes true where an earlier try may have done it.
    """
    attempt = 0
    while True:
        try:
            return await _once(core, name, lock_id, until, resent)
        except (LockError, NoWebSocketError) as error:
            if not retryable(error):
                raise
            left = until - time.monotonic()
            if left <= 0:
                give_up(error)
            resent[0] = True  # whatever it said, it may have been done
            await asyncio.sleep(min(backoff(attempt, min(getattr(error, "retry_after", 0.0), 1.0)), left))
            attempt += 1


async def _once(core: Core, name: str, lock_id: str, until: float, resent: list[bool]) -> float:
    if core.link.rest_only:
        return await core.rest.release(name, lock_id, resent, max(until - time.monotonic(), 0.001))
    done: asyncio.Future[Any] = core.loop.create_future()
    call = Release(done, name, lock_id)
    try:
        return float(await core.answer(call, until))
    finally:
        resent[0] = resent[0] or call.resent


async def release_by_id(core: Core, name: str, lock_id: str) -> float:
    """Release what a program knows by name and id alone."""
    core.check_open()
    if core.link.conn is None:
        return await core.rest.release(name, lock_id)
    return await release_until(core, name, lock_id, time.monotonic() + core.settings.http_timeout, [False])

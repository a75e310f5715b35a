"""Renewing leases: by hand, and by themselves."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any

from .calls import ANSWER_PATIENCE, Renew
from .errors import (
    ClientClosedError,
    LockError,
    LockLostError,
    LockReleasedError,
    NotOwnerError,
    NoWebSocketError,
    retryable,
)
from .lease import Lease, State
from .model import Renewal
from .timing import backoff, renew_in

if TYPE_CHECKING:
    from .core import Core

log = logging.getLogger("distributed_lock_client")


async def renew(lease: Lease, ttl: float | None) -> None:
    """Give a lock a new lease from now on. It tries until the lock is lost."""
    async with lease.turn:
        attempt = 0
        while True:
            lease.ensure()
            try:
                await _once(lease, ttl)
            except (LockLostError, NotOwnerError):
                lease.lose("the service no longer knows it")
                lease.ensure()
            except (LockError, NoWebSocketError) as error:
                if not retryable(error):
                    raise
                left = lease.lost_at - time.monotonic()
                await lease.core.pause(min(backoff(attempt), max(left, 0)))
                attempt += 1
            else:
                return


async def _once(lease: Lease, ttl: float | None) -> None:
    """Renew over what there is."""
    core = lease.core
    if core.link.rest_only:
        sent = time.monotonic()
        try:
            renewal = await core.rest.renew(lease.name, lease.renewal_token, ttl, lease.lost_at - sent)
        except LockError as error:
            if retryable(error):
                lease.unsure(sent, ttl)
            raise
        lease.extend(renewal.ttl, sent, time.monotonic())
        return
    if not lease.held:
        raise LockReleasedError("The lock is released", lock_name=lease.name)
    done: asyncio.Future[Any] = core.loop.create_future()
    call = Renew(done, lease.name, lease.renewal_token, ttl, lease)
    again = None
    if ttl is None:
        again = core.loop.call_later(max(lease.ttl / 6, 0.1), core.link.probe, lease)
    try:
        await core.answer(call, lease.lost_at, _patience(core, lease.ttl))
    finally:
        if again is not None:
            again.cancel()


def _patience(core: Core, ttl: float) -> float:
    """Tell how long a node may say nothing while a renewal waits for it.

    Where there is another to go to, it is so short that the renewal comes in time there.
    """
    if len(core.settings.endpoints) > 1:
        return min(max(ttl / 4, 0.5), ANSWER_PATIENCE)
    return min(max(ttl / 2, 1.0), ANSWER_PATIENCE)


def keep(lease: Lease) -> None:
    """Have a lock renewed until it ends."""
    if lease.held:
        soon = max((lease.lost_at - time.monotonic()) / 2, 0)  # where little is left of the lease
        lease.renewal = lease.core.loop.call_later(min(renew_in(lease.ttl), soon), _begin, lease)


def _begin(lease: Lease) -> None:
    if not lease.core.closed and lease.held:
        lease.core.spawn(_keep(lease))


async def _keep(lease: Lease) -> None:
    held_for = time.monotonic() - lease.granted
    if lease.q.max_hold is not None and held_for >= lease.q.max_hold:
        return  # the lease runs out
    try:
        await renew(lease, None)
    except (LockLostError, LockReleasedError, ClientClosedError):
        pass  # told to those who hold it
    except LockError as error:
        # A refusal that is none of the lock's: what can be done is to try again as long as the lease lives.
        log.warning("a renewal of the lock %r failed: %s", lease.name, error)
        if lease.state is State.HELD:
            lease.renewal = lease.core.loop.call_later(renew_in(lease.ttl) / 2, _begin, lease)
    else:
        keep(lease)


async def renew_by_token(core: Core, name: str, token: str, ttl: float | None) -> Renewal:
    """Renew what a program knows by name and token alone."""
    core.check_open()
    if core.link.conn is not None:
        done: asyncio.Future[Any] = core.loop.create_future()
        try:
            until = time.monotonic() + core.settings.http_timeout
            renewal = await core.answer(Renew(done, name, token, ttl, None), until)
        except (LockError, NoWebSocketError) as error:
            if not retryable(error):
                raise
        else:
            assert isinstance(renewal, Renewal)
            return renewal
    return await core.rest.renew(name, token, ttl)

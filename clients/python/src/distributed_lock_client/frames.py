"""What the frames of the service do."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .calls import Acquire, Call, Release, Renew, Subscribe
from .connection import Connection
from .errors import LockError, LockLostError, LockServiceUnavailable, NotOwnerError, from_problem, retryable
from .lease import Lease
from .model import Event, Holder, Place, Renewal, listed, moment
from .timing import backoff

if TYPE_CHECKING:
    from .core import Core

log = logging.getLogger("distributed_lock_client")

Frame = dict[str, Any]

#: How long a call that nobody waits for is tried again.
BEHIND_PATIENCE = 60.0


def handle(core: Core, conn: Connection, frame: Frame) -> None:
    """Do what a frame tells."""
    act = _ACTS.get(frame.get("type"))  # type: ignore[arg-type]
    if act is not None:
        id_ = frame.get("id")
        act(core, conn, core.pending.get(id_) if isinstance(id_, str) else None, frame)


def _server_time(frame: Mapping[str, Any]) -> float:
    """Tell the service's time as a grant was told, where it was told at once."""
    return moment(frame.get("expiresAt")).timestamp() - (frame.get("ttlMs") or 0) / 1000


def _granted(core: Core, conn: Connection, call: Call | None, frame: Frame) -> None:
    """Give a grant to whoever asked for it, or back where nobody wants it."""
    name, lock_id = frame.get("lockName") or "", frame.get("lockId") or ""
    if not isinstance(call, Acquire):
        call = _wanting(core, name, frame.get("requestId"))
    known = core.held.get(lock_id)
    if call is None:
        # A repeat, as the same place was asked for more than once; or nobody's.
        if known is None and not core.lapsed(lock_id) and not _releasing(core, lock_id):
            core.give_back(name, lock_id)
        return
    if known is not None or not call.wanted:
        if known is None:
            core.give_back(name, lock_id)  # before the end of the call, which may be all that close waits for
        core.end(call, known)
        return
    first = call.first if call.first is not None else conn.heard
    if not call.queued and not call.older:
        core.link.clock.learn(_server_time(frame), first, conn.heard)
    else:
        core.link.clock.doubt(_server_time(frame), conn.heard)
    lease = Lease(core, call.q, frame, first, conn.heard)
    if call.since is not None:  # the service counts from the last time it was asked
        lease.waited = max(lease.waited, conn.heard - call.since)
    core.held[lock_id] = lease
    core.end(call, lease)


def _releasing(core: Core, lock_id: str) -> bool:
    """Report whether a release of a grant is under way: another, of a repeat, would only get in its way."""
    return any(isinstance(call, Release) and call.secret == lock_id for call in core.pending.values())


def _wanting(core: Core, name: str, request_id: object) -> Acquire | None:
    """Find the acquire of a grant that was told under an id of an earlier connection."""
    for call in core.pending.values():
        if isinstance(call, Acquire) and call.q.id == request_id and call.name == name:
            return call
    return None


def _released(core: Core, _conn: Connection, call: Call | None, frame: Frame) -> None:
    if call is not None:
        core.end(call, frame.get("heldFor") or 0.0)


def _renewed(core: Core, conn: Connection, call: Call | None, frame: Frame) -> None:
    if not isinstance(call, Renew) or call.first is None or call.sent is None:
        return
    core.link.clock.learn(_server_time(frame), call.first, conn.heard)
    renewal = Renewal.read(frame)
    if call.lease is not None:  # the lock knows of it before the caller does
        call.lease.extend(renewal.ttl, call.sent, conn.heard)
    core.end(call, renewal)


def _queued(core: Core, conn: Connection, call: Call | None, frame: Frame) -> None:
    """Note that a request waits."""
    if not isinstance(call, Acquire) or call.id != frame["id"]:
        return
    call.queued = True
    if call.since is None:
        call.since = conn.heard
    holders = list(listed(frame.get("holders")))
    if holders and not call.older and call.sent is not None:
        core.link.clock.learn(_server_time(holders[0]), call.sent, conn.heard)
    if call.q.on_place is not None:
        _move(core, call, Place(frame.get("position") or 0, tuple(Holder.read(h) for h in holders)))


def _position(core: Core, _conn: Connection, call: Call | None, frame: Frame) -> None:
    if isinstance(call, Acquire) and call.id == frame["id"] and call.q.on_place is not None:
        _move(core, call, Place(frame.get("position") or 0, call.place.holders if call.place else ()))


def _move(core: Core, call: Acquire, place: Place) -> None:
    """Tell of a place that is another."""
    if call.q.on_place is not None and call.wanted and (call.place is None or call.place.position != place.position):
        call.place = place
        core.loop.call_soon(call.q.on_place, place)


def _failed(core: Core, _conn: Connection, call: Call | None, frame: Frame) -> None:
    """End a call with an error, unless the error is that of an ask which a later one has followed."""
    if call is None:
        return  # of a cancel, or of what is over
    error = from_problem({"code": "internal", **frame}, 0, call.name)
    if (
        isinstance(call, Acquire)
        and call.id != frame["id"]
        and (error.code in {"wait_timeout", "cancelled"} or not call.wanted)
    ):
        call.older.remove(frame["id"])
        del core.pending[frame["id"]]
        return
    if call.unattended and isinstance(call, (Release, Subscribe)) and _again(core, call, error):
        return
    if isinstance(call, Subscribe):
        call.subscriber.end(error)
    core.end(call, error=error)
    if isinstance(call, Renew) and call.lease is not None and isinstance(error, (LockLostError, NotOwnerError)):
        call.lease.lose("the service no longer knows it")


def _again(core: Core, call: Call, error: LockError) -> bool:
    """Repeat a call that nobody waits for, a little later, where that may help."""
    if not retryable(error) or call.first is None or time.monotonic() - call.first > BEHIND_PATIENCE:
        return False
    id_ = call.id

    def repeat() -> None:
        if core.link.conn is not None and core.pending.get(id_) is call:
            core.link.conn.put(call)

    core.loop.call_later(backoff(2, min(error.retry_after, 1.0)), repeat)
    return True


_REASONS = {"expired": "its lease ran out", "force_released": "an admin took it"}


def _lost(core: Core, _conn: Connection, _call: Call | None, frame: Frame) -> None:
    lease = core.held.get(frame.get("lockId") or "")
    if lease is not None:
        lease.lose(_REASONS.get(frame.get("reason") or "", "the service no longer knows it"))


def _subscribed(core: Core, conn: Connection, call: Call | None, frame: Frame) -> None:
    if isinstance(call, Subscribe):
        core.end(call)
        call.subscriber.live(conn, frame.get("subscription") or "")


def _event(_core: Core, conn: Connection, _call: Call | None, frame: Frame) -> None:
    subscriber = conn.subscribers.get(frame.get("subscription") or "")
    if subscriber is not None:
        subscriber.push(Event.read(frame))


def _done(core: Core, _conn: Connection, call: Call | None, _frame: Frame) -> None:
    if call is not None:
        core.end(call)


def _draining(core: Core, conn: Connection, _call: Call | None, _frame: Frame) -> None:
    conn.draining = True
    if len(core.settings.endpoints) > 1:
        conn.kill(LockServiceUnavailable("The node shuts down", code="draining"))


_ACTS: dict[str, Callable[[Core, Connection, Call | None, Frame], None]] = {
    "granted": _granted,
    "released": _released,
    "renewed": _renewed,
    "queued": _queued,
    "position": _position,
    "error": _failed,
    "lost": _lost,
    "subscribed": _subscribed,
    "unsubscribed": _done,
    "event": _event,
    "draining": _draining,
}

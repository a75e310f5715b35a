"""What the service tells, as values. Durations are seconds; times are aware, in UTC, by the service's clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

Metadata = Mapping[str, Any]

_NEVER = datetime.fromtimestamp(0, timezone.utc)


def moment(text: object) -> datetime:
    """Read a time as the service writes it: RFC 3339, UTC. What is none is the epoch."""
    if not isinstance(text, str):
        return _NEVER
    try:
        at = datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith("Z") else text)
    except ValueError:
        return _NEVER
    return at if at.tzinfo else at.replace(tzinfo=timezone.utc)


def listed(value: object) -> Iterable[Mapping[str, Any]]:
    """Go through the objects of a list, whatever else there is."""
    return (v for v in value if isinstance(v, dict)) if isinstance(value, list) else ()


def cut(body: bytes, most: int) -> str:
    """Show the beginning of an answer that cannot be read."""
    return body[:most].decode("utf-8", "ignore")


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing wrong with a request."""

    field: str
    detail: str

    @classmethod
    def read(cls, o: Mapping[str, Any]) -> FieldError:
        return cls(str(o.get("field") or ""), str(o.get("detail") or ""))


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock. ``ttl`` is what was left of the lease, in seconds."""

    client_id: str
    owner_id: str
    acquired_at: datetime
    expires_at: datetime
    ttl: float
    fencing_token: int
    auto_renew: bool
    metadata: Metadata | None

    @classmethod
    def read(cls, o: Mapping[str, Any]) -> Holder:
        return cls(
            o.get("clientId") or "",
            o.get("ownerId") or "",
            moment(o.get("acquiredAt")),
            moment(o.get("expiresAt")),
            (o.get("ttlMs") or 0) / 1000,
            o.get("fencingToken") or 0,
            bool(o.get("autoRenew")),
            o.get("metadata"),
        )


@dataclass(frozen=True, slots=True)
class Waiter:
    """Who waits in line for a lock: ``position`` from 1, ``waiting`` seconds so far."""

    position: int
    client_id: str
    owner_id: str
    waiting: float

    @classmethod
    def read(cls, o: Mapping[str, Any]) -> Waiter:
        return cls(o.get("position") or 0, o.get("clientId") or "", o.get("ownerId") or "", o.get("waiting") or 0.0)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a request stands in line: ``position`` from 1, and up to 100 of those in the way as it was queued."""

    position: int
    holders: tuple[Holder, ...] = ()


@dataclass(frozen=True, slots=True)
class CycleStep:
    """An owner in a deadlock: it holds what the one before waits for. ``holds`` and ``waits_for`` are lock names."""

    client_id: str
    owner_id: str
    holds: str
    held_since: datetime
    waits_for: str
    waiting_since: datetime

    @classmethod
    def read(cls, o: Mapping[str, Any]) -> CycleStep:
        return cls(
            o.get("clientId") or "",
            o.get("ownerId") or "",
            o.get("holds") or "",
            moment(o.get("heldSince")),
            o.get("waitsFor") or "",
            moment(o.get("waitingSince")),
        )


@dataclass(frozen=True, slots=True)
class Status:
    """A lock as it is now. A free lock has no mode, limit and holders."""

    lock_name: str
    locked: bool
    mode: str
    limit: int
    holders: tuple[Holder, ...]
    queue_length: int
    #: The first 100 in line; empty in a listing.
    waiters: tuple[Waiter, ...]

    @property
    def holder(self) -> Holder | None:
        """The one who holds it, ``None`` where nobody or more than one does."""
        return self.holders[0] if len(self.holders) == 1 else None

    @classmethod
    def read(cls, o: Mapping[str, Any]) -> Status:
        return cls(
            o.get("lockName") or "",
            bool(o.get("locked")),
            o.get("mode") or "",
            o.get("limit") or 0,
            tuple(Holder.read(h) for h in listed(o.get("holders"))),
            o.get("queueLength") or 0,
            tuple(Waiter.read(w) for w in listed(o.get("waiters"))),
        )


@dataclass(frozen=True, slots=True)
class Stats:
    """Counts of the whole cluster, at most 2 s old. ``nodes`` is what each node says of itself."""

    active_locks: int
    waiting_clients: int
    contended_locks: int
    acquired_total: int
    released_total: int
    expired_total: int
    force_released_total: int
    renewed_total: int
    deadlocks_detected: int
    nodes: tuple[Mapping[str, Any], ...]

    @classmethod
    def read(cls, o: Mapping[str, Any]) -> Stats:
        return cls(
            o.get("activeLocks") or 0,
            o.get("waitingClients") or 0,
            o.get("contendedLocks") or 0,
            o.get("acquiredTotal") or 0,
            o.get("releasedTotal") or 0,
            o.get("expiredTotal") or 0,
            o.get("forceReleasedTotal") or 0,
            o.get("renewedTotal") or 0,
            o.get("deadlocksDetected") or 0,
            tuple(listed(o.get("nodes"))),
        )


@dataclass(frozen=True, slots=True)
class Owner:
    """Who holds or waits."""

    client_id: str
    owner_id: str


@dataclass(frozen=True, slots=True)
class Edge:
    """A waiter and a holder that it waits for; both are owner ids."""

    waiter: str
    waiter_client_id: str
    holder: str
    holder_client_id: str
    lock_name: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Graph:
    """Who waits for whom. Where ``truncated``, there are more edges than are shown, and ``note`` says so."""

    owners: tuple[Owner, ...]
    edges: tuple[Edge, ...]
    cycles: tuple[tuple[CycleStep, ...], ...]
    truncated: bool
    note: str

    @classmethod
    def read(cls, o: Mapping[str, Any]) -> Graph:
        return cls(
            tuple(Owner(w.get("clientId") or "", w.get("ownerId") or "") for w in listed(o.get("owners"))),
            tuple(
                Edge(
                    e.get("waiter") or "",
                    e.get("waiterClientId") or "",
                    e.get("holder") or "",
                    e.get("holderClientId") or "",
                    e.get("lockName") or "",
                    moment(e.get("since")),
                )
                for e in listed(o.get("edges"))
            ),
            tuple(tuple(CycleStep.read(s) for s in listed(c)) for c in o.get("cycles") or ()),
            bool(o.get("truncated")),
            o.get("note") or "",
        )


@dataclass(frozen=True, slots=True)
class Health:
    """How a node and the Redis behind it are: ``status`` is ok or degraded, ``uptime`` seconds."""

    status: str
    version: str
    uptime: float
    redis_mode: str
    redis_role: str
    #: Seconds that Redis takes to answer.
    redis_latency: float

    @classmethod
    def read(cls, o: Mapping[str, Any]) -> Health:
        redis = o.get("redis") or {}
        return cls(
            o.get("status") or "",
            o.get("version") or "",
            o.get("uptime") or 0.0,
            redis.get("mode") or "",
            redis.get("role") or "",
            (redis.get("latencyMs") or 0) / 1000,
        )


@dataclass(frozen=True, slots=True)
class Renewal:
    """A new lease of ``ttl`` seconds."""

    expires_at: datetime
    ttl: float
    fencing_token: int

    @classmethod
    def read(cls, o: Mapping[str, Any]) -> Renewal:
        return cls(moment(o.get("expiresAt")), (o.get("ttlMs") or 0) / 1000, o.get("fencingToken") or 0)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a lock.

    ``kind`` is granted, released, expired, renewed, force_released, queued, dequeued or deadlock; quarantine, which is
    about no lock, for those who name it; or gap, where some may have been missed: read the state anew. Whose: the
    former holder's for expired and force_released.
    """

    kind: str
    at: datetime
    lock_name: str = ""
    client_id: str = ""
    owner_id: str = ""
    fencing_token: int = 0
    #: Rises with every event of the lock.
    seq: int = 0
    reason: str = ""
    cycle: tuple[CycleStep, ...] = field(default=())
    #: What is left of a quarantine; 0 at its end.
    seconds: float = 0

    @classmethod
    def read(cls, o: Mapping[str, Any]) -> Event:
        return cls(
            o.get("event") or "",
            moment(o.get("at")),
            o.get("lockName") or "",
            o.get("clientId") or "",
            o.get("ownerId") or "",
            o.get("fencingToken") or 0,
            o.get("seq") or 0,
            o.get("reason") or "",
            tuple(CycleStep.read(s) for s in listed(o.get("cycle"))),
            o.get("seconds") or 0,
        )

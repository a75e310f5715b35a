"""Frames that wait for their answers, over as many connections as it takes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from .model import Place
from .request import Request, dump, wire

if TYPE_CHECKING:
    from .lease import Lease
    from .subscription import Subscriber

#: How long a node may say nothing to what it answers at once, before it is taken for dead.
ANSWER_PATIENCE = 5.0
#: How long one frame asks to wait at most. A longer wait is asked for anew before it ends, which keeps the place.
LONGEST_ASK = 60.0
SHORTEST_ASK = 1.0
#: How much of an ask is left when it is asked for anew.
ASK_LEAD = 1 / 6


class Call:
    """One request. ``done`` has its answer; where nobody waits for that, the call is ``unattended``."""

    kind = ""

    def __init__(self, done: asyncio.Future[Any] | None, name: str = "", secret: str = "") -> None:
        self.id = ""
        self.done = done
        self.name = name
        #: What a release or a renewal is authorized by, or the subscription's name.
        self.secret = secret
        #: When it was first and last sent; ``None`` before that.
        self.first: float | None = None
        self.sent: float | None = None
        #: When to give it up, if ever, and how long the node may be silent.
        self.until: float | None = None
        self.patience = ANSWER_PATIENCE
        self.timer: asyncio.TimerHandle | None = None
        #: Whether the client's close waits for it.
        self.loose = False

    @property
    def unattended(self) -> bool:
        return self.done is None

    @property
    def wanted(self) -> bool:
        """Whether somebody waits for the answer."""
        return self.done is not None and not self.done.done()

    @property
    def due_since(self) -> float | None:
        """Since when the node owes an answer that it gives at once."""
        return self.sent

    @property
    def resent(self) -> bool:
        return self.first != self.sent

    def answer(self, result: object) -> None:
        if self.done is not None and not self.done.done():
            self.done.set_result(result)

    def fail(self, error: Exception) -> None:
        if self.done is not None and not self.done.done():
            self.done.set_exception(error)

    def frame(self, _now: float) -> str:
        """Write the frame."""
        return dump({"type": self.kind, "id": self.id, **self.members()})

    def members(self) -> dict[str, Any]:
        return {}


class Acquire(Call):
    """An acquire. It may have had other ids before, each of which is answered."""

    kind = "acquire"

    def __init__(self, done: asyncio.Future[Lease], q: Request, wait_end: float | None, longest: float) -> None:
        super().__init__(done, q.name)
        self.q = q
        self.older: list[str] = []
        #: When a bounded wait ends. How long the last frame asked to wait, until when.
        self.wait_end = wait_end
        self.longest = longest
        self.asked = 0.0
        self.asked_end = 0.0
        #: Whether the last frame was told to wait, and when the first was.
        self.queued = False
        self.since: float | None = None
        self.place: Place | None = None

    @property
    def due_since(self) -> float | None:
        return None if self.queued else self.sent

    def frame(self, now: float) -> str:
        if self.q.wait == 0:
            self.asked = 0.0
        elif self.wait_end is None:
            self.asked = self.longest
        else:
            self.asked = min(max(self.wait_end - now, 0.001), self.longest)
        self.asked_end = now + self.asked
        return f'{{"type":"acquire","id":"{self.id}","lockName":{dump(self.name)},{self.q.members(self.asked)}}}'

    def refresh_at(self) -> float | None:
        """Tell when the wait must be asked for anew."""
        if not self.asked or (self.wait_end is not None and self.wait_end <= self.asked_end):
            return None
        return self.asked_end - self.asked * ASK_LEAD

    @property
    def ids(self) -> list[str]:
        return [*self.older, self.id]


class Release(Call):
    """A release."""

    kind = "release"

    def members(self) -> dict[str, Any]:
        return {"lockName": self.name, "lockId": self.secret}


class Renew(Call):
    """A renewal, of a lock of ours where ``lease`` is one."""

    kind = "renew"

    def __init__(
        self, done: asyncio.Future[Any] | None, name: str, secret: str, ttl: float | None, lease: Lease | None
    ) -> None:
        super().__init__(done, name, secret)
        self.ttl = ttl
        self.lease = lease

    def members(self) -> dict[str, Any]:
        more = {} if self.ttl is None else {"timeout": wire(self.ttl)}
        return {"lockName": self.name, "renewalToken": self.secret, **more}


class Subscribe(Call):
    """The beginning of a subscription on one connection."""

    kind = "subscribe"

    def __init__(self, subscriber: Subscriber) -> None:
        super().__init__(None)
        self.subscriber = subscriber

    def members(self) -> dict[str, Any]:
        events = {"events": list(self.subscriber.events)} if self.subscriber.events else {}
        return {"locks": list(self.subscriber.locks), **events}


class Unsubscribe(Call):
    """The end of one."""

    kind = "unsubscribe"

    def members(self) -> dict[str, Any]:
        return {"subscription": self.secret}

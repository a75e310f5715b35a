"""When leases end by the local clock, and when to try again. All in seconds of the monotonic clock."""

from __future__ import annotations

import random

#: How far two clocks may part, by the second: 200 ppm is twice what is usual for bad ones.
CLOCK_DRIFT = 200e-6
#: For the milliseconds that the service's times are cut to.
CLOCK_ROUNDING = 0.002


def backoff(attempt: int, at_least: float = 0.0) -> float:
    """Choose how long to wait before the next try: all by chance, so that many clients do not come back at once.

    See https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/.
    """
    most: float = min(0.05 * 2 ** min(attempt, 7), 5.0)
    return at_least + random.random() * most  # noqa: S311 - no secret


def margin(ttl: float) -> float:
    """Say how long before its end a lease of that length counts as lost."""
    return min(max(ttl / 10, 0.01), 0.5)


def renew_in(ttl: float) -> float:
    """Choose when to renew a lease: after a third of it, a little less, so that many do not come at once."""
    return ttl / 3 * (1 - 0.1 * random.random())  # noqa: S311 - no secret


class Clock:
    """Bounds how far the service's clock is ahead of the local one.

    Only the upper bound counts: by it a lease ends, here, no later than it does there. A new clock knows nothing.
    """

    __slots__ = ("_ahead", "_at", "known")

    def __init__(self) -> None:
        self.known = False
        self._ahead = 0.0
        self._at = 0.0

    def _bound(self, now: float) -> float:
        """Tell the upper bound now: the older it is, the farther the clocks may have parted."""
        return self._ahead + (now - self._at) * CLOCK_DRIFT

    def learn(self, server: float, sent: float, received: float) -> None:
        """Take in a time that the service told, read at some moment between sent and received."""
        most = server - sent + CLOCK_ROUNDING
        least = server - received
        bound = self._bound(received)
        if not self.known or most < bound or least > bound:  # the last: the service's clock was set forward
            self._ahead, self._at, self.known = most, received, True

    def doubt(self, server: float, received: float) -> None:
        """Take in a time that the service told at an unknown moment before received.

        Where that cannot be, its clock was set forward, and what was known is worth nothing.
        """
        if self.known and server - received > self._bound(received):
            self.known = False

    def local(self, server: float, now: float) -> float | None:
        """Tell the earliest local moment that a moment of the service's clock may be."""
        return server - self._bound(now) if self.known else None


def lease_end(clock: Clock, ttl: float, expires: float, first: float, received: float) -> tuple[float, float, bool]:
    """Tell when a lease ends, at the earliest and at the latest, and whether the service's clock proves the former.

    The service read what is left of the lease after ``first``, when the request was sent. Where that was long ago, its
    clock tells more. No lease ends later than ``ttl`` after it was told.
    """
    ends, last = first + ttl, received + ttl
    told = clock.local(expires, received)
    if told is not None and told > ends:
        ends = told
    return min(ends, last), last, told is not None

"""What is asked over REST."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .errors import unavailable
from .model import Graph, Health, Holder, Stats, Status, listed
from .request import lock_path
from .rest import RestCall, readable

if TYPE_CHECKING:
    from .core import Core

#: How many locks a page of a listing has.
PAGE = 1000


def _object(answer: Any) -> Mapping[str, Any]:
    if not isinstance(answer, dict):
        raise unavailable(ValueError("an answer that is not the service's"))
    return answer


async def status(core: Core, name: str) -> Status:
    """Tell who holds a lock and who waits for it."""
    core.check_open()
    return Status.read(_object(await core.rest.get(lock_path(name, "status"), name)))


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a listing. ``cursor`` is where the next begins, ``""`` at the end."""

    locks: list[Status]
    cursor: str


async def page(core: Core, prefix: str, cursor: str) -> Page:
    """Read a part of a listing."""
    core.check_open()
    query = {"limit": str(PAGE)}
    if prefix:
        query["prefix"] = prefix
    if cursor:
        query["cursor"] = cursor
    answer = _object(await core.rest.get("/locks", **query))
    return Page([Status.read(o) for o in listed(answer.get("locks"))], answer.get("nextCursor") or "")


async def stats(core: Core) -> Stats:
    """Count what the cluster does."""
    core.check_open()
    return Stats.read(_object(await core.rest.get("/locks/stats")))


async def graph(core: Core) -> Graph:
    """Tell who waits for whom."""
    core.check_open()
    return Graph.read(_object(await core.rest.get("/graph")))


async def graph_dot(core: Core) -> str:
    """Draw the graph."""
    core.check_open()
    return (await core.rest.do(RestCall("GET", "/graph", {"format": "dot"}))).decode("utf-8", "replace")


async def health(core: Core) -> Health:
    """Tell how a node is."""
    core.check_open()
    return Health.read(_object(await core.rest.get("/health")))


async def force_release(core: Core, name: str, reason: str) -> list[Holder]:
    """Take a lock from its holders."""
    core.check_open()
    call = RestCall("DELETE", lock_path(name), {"reason": reason} if reason else {}, name=name)
    answer = _object(readable(await core.rest.do(call)))
    return [Holder.read(o) for o in listed(answer.get("holders"))]

"""What a forked child does with its parent's clients: each starts anew there."""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from .core import Core


class Forked(Protocol):
    """A client, as the fork sees it."""

    def _in_child(self) -> None: ...


_clients: weakref.WeakSet[Forked] = weakref.WeakSet()

# The parent's loops and connections. They must not be collected in the child: closing them would reach into the
# parent's, which shares what is behind the file descriptors.
_parents: list[object] = []


def register(client: Forked) -> None:
    """Have a client start anew in a forked child."""
    _clients.add(client)


def disown(core: Core, *more: object) -> None:
    """Let go, in a child, of the parent's sockets, so that they end with the parent."""
    _parents.append((core, more))
    conn = core.link.conn
    fds = core.rest.sockets()
    if conn is not None and conn.socket is not None:
        fds.append(conn.socket.fileno())
    nothing = os.open(os.devnull, os.O_RDWR)
    for fd in fds:
        if fd >= 0:
            os.dup2(nothing, fd)  # what the objects close one day is this
    os.close(nothing)


def _in_child() -> None:
    for client in list(_clients):
        client._in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)

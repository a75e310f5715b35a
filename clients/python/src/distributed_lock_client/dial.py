"""Opens a WebSocket and says hello."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, TypeVar

from websockets.exceptions import InvalidHandshake, InvalidMessage, InvalidStatus

from .connection import Connection
from .errors import LockError, LockServiceUnavailable, NoWebSocketError, from_body, from_problem
from .model import moment
from .proxy import tunnel
from .request import dump
from .rest import retry_after
from .settings import Endpoint
from .timing import Clock

if TYPE_CHECKING:
    from .link import Link

log = logging.getLogger("distributed_lock_client")
T = TypeVar("T")

#: How long a node may take to accept a connection, and then to shake hands.
DIAL_PATIENCE = 3.0
#: How long it may take to answer the hello, for which it asks Redis.
HELLO_PATIENCE = 6.0


async def connect(link: Link) -> Connection:
    """Open a connection to the current endpoint, say hello, and make it the client's."""
    core = link.core
    endpoint = core.settings.endpoints[link.endpoint]
    greeting: asyncio.Future[dict[str, Any]] = core.loop.create_future()

    def on_frame(conn: Connection, frame: dict[str, Any]) -> None:
        if greeting.done():
            core.handle(conn, frame)
        elif frame.get("type") in {"welcome", "error", "draining"}:
            _greeted(link, conn, frame, sent, greeting)

    sent = 0.0
    conn = Connection(endpoint.socket_url, core.settings.token, on_frame)
    try:
        await _dial(link, endpoint, conn)
        hello = {"type": "hello", "id": "0", "clientId": core.settings.client_id}
        if link.session:
            hello["session"] = link.session
        sent = time.monotonic()
        conn.send(dump(hello))
        await _first(greeting, conn, HELLO_PATIENCE)
    except BaseException as error:
        conn.kill(error if isinstance(error, Exception) else ConnectionError("cancelled"))
        raise
    finally:
        greeting.cancel()
    return conn


def _greeted(
    link: Link, conn: Connection, frame: dict[str, Any], sent: float, greeting: asyncio.Future[dict[str, Any]]
) -> None:
    """Take in the answer to hello, before any frame that may stand behind it."""
    if frame["type"] == "draining":
        greeting.set_exception(LockServiceUnavailable("The node shuts down", code="draining"))
        return
    if frame["type"] == "error":
        greeting.set_exception(from_problem({"code": "internal", **frame}))
        return
    conn.resumed = bool(frame.get("resumed"))
    conn.heartbeat = frame.get("heartbeat") or conn.heartbeat
    link.session = frame.get("session") or ""
    link.clock = Clock()
    link.clock.learn(moment(frame.get("time")).timestamp(), sent, conn.heard)
    greeting.set_result(frame)
    link.install(conn)


async def _first(future: asyncio.Future[T], conn: Connection, patience: float) -> T:
    """Wait for something that a connection has to tell, while it lives."""
    either: set[asyncio.Future[Any]] = {future, conn.closed}
    await asyncio.wait(either, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
    if future.done():
        return future.result()
    if conn.closed.done():
        raise conn.closed.result()
    raise TimeoutError("the node does not answer in time")


async def _within(work: Awaitable[T], patience: float) -> T:
    try:
        return await asyncio.wait_for(work, patience)
    except asyncio.TimeoutError:
        raise TimeoutError("the node does not accept a connection in time") from None


async def _dial(link: Link, endpoint: Endpoint, conn: Connection) -> None:
    """Connect and shake hands."""
    core = link.core
    loop = core.loop
    sock = await tunnel(core, endpoint, DIAL_PATIENCE)
    tls: dict[str, Any] = {}
    if endpoint.secure:
        tls = {"ssl": core.settings.tls, "server_hostname": endpoint.host}
    if sock is not None:
        await _within(loop.create_connection(lambda: conn, sock=sock, **tls), DIAL_PATIENCE)
    else:
        where = (endpoint.host, endpoint.port)
        opening = loop.create_connection(lambda: conn, *where, happy_eyeballs_delay=0.25, **tls)
        await _within(opening, DIAL_PATIENCE)
    try:
        await _first(conn.opened, conn, min(core.settings.http_timeout, 2 * DIAL_PATIENCE))
    except TimeoutError:
        if await core.rest.lives(endpoint):
            raise NoWebSocketError(f"{endpoint.authority} answers over REST and swallows the upgrade") from None
        raise
    except InvalidStatus as error:
        r = error.response
        raise _refusal(r.status_code, bytes(r.body or b""), r.headers.get("Retry-After")) from None
    except InvalidMessage as error:  # nothing like HTTP came, or the connection broke
        raise ConnectionError(str(error.__cause__ or error)) from None
    except InvalidHandshake as error:
        raise NoWebSocketError(f"the handshake fails: {error}") from None


def _refusal(status: int, body: bytes, later: str | None) -> Exception:
    """Say what a refused handshake means."""
    error: LockError = from_body(body, status)
    error.retry_after = max(error.retry_after, retry_after(later))
    if status in {401, 403, 429} or (status >= 500 and status != 501):
        return error
    return NoWebSocketError(f"the handshake was answered {status} {error.code}")

"""One WebSocket connection: an asyncio protocol around the Sans-I/O core of ``websockets``."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from .errors import LockServiceUnavailable

if TYPE_CHECKING:
    from .calls import Call
    from .subscription import Subscriber

log = logging.getLogger("distributed_lock_client")

SUBPROTOCOL = Subprotocol("distributed-lock.v1")
#: What the service takes of us, and what we take of it.
MAX_FRAME = 64 << 10
MAX_MESSAGE = 16 << 20
# While something is under way, a connection that has said nothing for PING_AFTER is asked for a sign of life, and is
# given up when it has said nothing for SILENCE.
PING_AFTER = 4.0
SILENCE = 8.0

# websockets tells of every frame at level DEBUG, tokens and all: never ours.
_quiet = logging.getLogger("distributed_lock_client.wire")
_quiet.addHandler(logging.NullHandler())
_quiet.propagate = False
_quiet.setLevel(logging.CRITICAL)


def silent() -> LockServiceUnavailable:
    """Say why a connection was given up."""
    return LockServiceUnavailable("The node says nothing any more")


class Connection(asyncio.Protocol):
    """One connection. ``closed`` is done, with the reason, when it has ended."""

    def __init__(self, url: str, token: str | None, on_frame: Callable[[Connection, dict[str, Any]], None]) -> None:
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._on_frame = on_frame
        self._token = token
        self._ws = ClientProtocol(parse_uri(url), subprotocols=[SUBPROTOCOL], max_size=MAX_MESSAGE, logger=_quiet)
        self._transport: asyncio.Transport | None = None
        self._flushing = False
        self._parts: list[bytes] = []
        self.opened: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[Exception] = loop.create_future()
        self._cause: Exception | None = None
        #: When something was last heard; when the service last pinged.
        self.heard = self.pinged = time.monotonic()
        self.pinging = False
        self.born = self.heard
        self.heartbeat = 15.0
        self.resumed = False
        self.draining = False
        #: The subscriptions by the service's name.
        self.subscribers: dict[str, Subscriber] = {}

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        request = self._ws.connect()
        request.headers["User-Agent"] = "distributed-lock-client-python"
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        self._ws.send_request(request)
        self._flush()

    def data_received(self, data: bytes) -> None:
        self.heard = time.monotonic()
        self._ws.receive_data(data)
        self._handle()

    def eof_received(self) -> bool:
        self._ws.receive_eof()
        self._handle()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        why = self._cause or exc or self._farewell()
        if not self.opened.done():
            self.opened.set_exception(why)
            self.opened.exception()  # whoever waited may be gone
        if not self.closed.done():
            self.closed.set_result(why)

    # What the client does.

    def send(self, text: str) -> bool:
        """Send a frame, together with all others of this moment. It reports ``False`` for one that is too large."""
        data = text.encode()
        if len(data) > MAX_FRAME:
            return False
        if self._cause is None and self._ws.state is State.OPEN:
            self._ws.send_text(data)
            if not self._flushing:
                self._flushing = True
                self._loop.call_soon(self._flush)
        return True

    def put(self, call: Call) -> bool:
        """Send a call. It reports ``False`` for one that is too large."""
        now = time.monotonic()
        if not self.send(call.frame(now)):
            return False
        if call.first is None:
            call.first = now
        call.sent = now
        return True

    def cancel(self, id_: str, target: str) -> None:
        """Ask for an acquire to be taken back. Nobody waits for the answer."""
        self.send(f'{{"type":"cancel","id":"{id_}","target":"{target}"}}')

    def watch(self, busy: bool) -> None:
        """Ask a node that says nothing for a sign of life while something depends on it, and give up a dead one."""
        now = time.monotonic()
        quiet = now - self.heard
        if busy and quiet > SILENCE and self.pinging:
            self.kill(silent())
        elif busy and quiet >= PING_AFTER and not self.pinging:
            self.pinging = True
            self.send('{"type":"ping"}')
        elif quiet < PING_AFTER:
            self.pinging = False
        if now - max(self.pinged, self.born) > 2.25 * self.heartbeat:
            self.kill(silent())

    def kill(self, cause: Exception) -> None:
        """End the connection at once."""
        if self._cause is None:
            self._cause = cause
            if self._transport is not None:
                self._transport.abort()

    async def bye(self, cause: Exception) -> None:
        """End it with a close frame, and do not wait long for that to be written."""
        if self._transport is not None and self._cause is None:
            self._finish()
            self._cause = cause
            await asyncio.wait({self.closed}, timeout=0.1)
        if self._transport is not None:
            self._transport.abort()
            await asyncio.wait({self.closed}, timeout=1)

    @property
    def close_code(self) -> int:
        """The code that the service closed with, 0 for none."""
        return self._ws.close_rcvd.code if self._ws.close_rcvd is not None else 0

    @property
    def socket(self) -> socket.socket | None:
        return None if self._transport is None else cast("socket.socket", self._transport.get_extra_info("socket"))

    # Inside.

    def _flush(self) -> None:
        self._flushing = False
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(self._ws.data_to_send()))

    def _finish(self) -> None:
        """Close from our side, behind what there is to write."""
        if self._ws.state is State.OPEN:
            self._ws.send_close(1000)
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def _handle(self) -> None:
        for event in self._ws.events_received():
            if self._cause is not None:
                return
            if isinstance(event, Frame):
                self._frame(event)
            elif self._ws.handshake_exc is None and not self.opened.done():
                self.opened.set_result(None)
        if self._ws.handshake_exc is not None and not self.opened.done():
            self.opened.set_exception(self._ws.handshake_exc)
            self.opened.exception()
        if self._ws.state in {State.CLOSING, State.CLOSED}:
            self._finish()
            self._loop.call_later(1, self.kill, self._farewell())  # where it takes no more
        elif not self._flushing:
            self._flush()

    def _frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.PING:
            self.pinged = self.heard
            return
        if frame.opcode not in {Opcode.TEXT, Opcode.CONT}:
            return
        if not frame.fin or self._parts:
            self._parts.append(bytes(frame.data))
            if not frame.fin:
                return
        data: Any = b"".join(self._parts) if self._parts else frame.data
        self._parts.clear()
        try:
            message = json.loads(bytes(data))
        except ValueError:
            log.warning("a frame of the lock service cannot be read")
            return
        if isinstance(message, dict):
            self._on_frame(self, message)

    def _farewell(self) -> Exception:
        if self._ws.close_rcvd is not None:
            why = f"{self._ws.close_rcvd.code} {self._ws.close_rcvd.reason}".rstrip()
            return ConnectionError(f"the service closed the connection: {why}")
        if self._ws.handshake_exc is not None:
            return self._ws.handshake_exc
        return ConnectionError("the connection broke")

"""One HTTP exchange, made in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import socket
import threading
import time
from typing import TYPE_CHECKING

from .proxy import Proxy, proxy_for
from .settings import Endpoint

if TYPE_CHECKING:
    from .core import Core

#: What is read of an answer: a page of a listing is the largest.
MAX_ANSWER = 64 << 20
#: How long a node may take to accept a connection.
DIAL_PATIENCE = 3.0
#: A connection that was not used for so long may be closed by now.
KEEP_IDLE = 30.0
#: How many unused connections are kept.
MOST_IDLE = 16

Answer = tuple[int, bytes, "str | None"]


class Idle:
    """Connections that are kept for the next call."""

    def __init__(self) -> None:
        self._mu = threading.Lock()
        self._closed = False
        self._kept: list[tuple[float, Endpoint, http.client.HTTPConnection]] = []

    def take(self, endpoint: Endpoint) -> http.client.HTTPConnection | None:
        """Take the connection that was used last."""
        with self._mu:
            for i in range(len(self._kept) - 1, -1, -1):
                since, where, conn = self._kept[i]
                if where == endpoint:
                    del self._kept[i]
                    if time.monotonic() - since < KEEP_IDLE:
                        return conn
                    conn.close()
        return None

    def keep(self, endpoint: Endpoint, conn: http.client.HTTPConnection) -> None:
        with self._mu:
            if not self._closed and len(self._kept) < MOST_IDLE:
                self._kept.append((time.monotonic(), endpoint, conn))
                return
        conn.close()

    def close(self) -> None:
        with self._mu:
            self._closed = True
            kept, self._kept = self._kept, []
        for _, _, conn in kept:
            conn.close()

    def sockets(self) -> list[int]:
        return [conn.sock.fileno() for _, _, conn in self._kept if conn.sock is not None]


class Exchange:
    """One question, whose ``answer`` is its status, its body and its Retry-After."""

    def __init__(
        self,
        core: Core,
        endpoint: Endpoint,
        method: str,
        target: str,
        body: bytes | None,
        headers: dict[str, str],
        patience: float,
    ) -> None:
        self.answer: asyncio.Future[Answer] = core.loop.create_future()
        self._core = core
        self._endpoint = endpoint
        self._method = method
        self._target = endpoint.path + target
        self._body = body
        self._headers = headers
        self._patience = patience
        # Guards the socket against being closed and shut down at once.
        self._mu = threading.Lock()
        self._conn: http.client.HTTPConnection | None = None
        self._aborted = False
        #: Whether an earlier try may have done it.
        self.retried = False

    def abort(self) -> None:
        """Give it up: who blocks on its socket wakes."""
        with self._mu:
            self._aborted = True
            if self._conn is not None and self._conn.sock is not None:
                with contextlib.suppress(OSError):
                    self._conn.sock.shutdown(socket.SHUT_RDWR)

    def sockets(self) -> list[int]:
        conn = self._conn
        return [conn.sock.fileno()] if conn is not None and conn.sock is not None else []

    def run(self) -> None:
        """Ask, in a thread that may block."""
        answer: Answer | None = None
        error: Exception | None = None
        try:
            answer = self._ask()
        except OSError as e:
            error = TimeoutError("no answer came in time") if self._aborted else e
        except (http.client.HTTPException, ValueError) as e:
            error = ConnectionError(f"an answer that is no HTTP: {e!r}")

        def tell() -> None:
            if self.answer.done():
                return
            if answer is not None:
                self.answer.set_result(answer)
            elif error is not None:
                self.answer.set_exception(error)

        self._core.post(tell)

    def _ask(self) -> Answer:
        used = self._core.rest.idle.take(self._endpoint)
        if used is not None:
            try:
                return self._exchange(used)
            except (http.client.RemoteDisconnected, ConnectionError, BrokenPipeError):
                if self._aborted:
                    raise
                self.retried = True  # the node had closed it, as it was not used: it is no fault yet
        return self._exchange(self._connect())

    def _connect(self) -> http.client.HTTPConnection:
        e = self._endpoint
        proxy = proxy_for(e)
        host, port = (e.host, e.port) if proxy is None else (proxy.host, proxy.port)
        conn: http.client.HTTPConnection
        if e.secure:
            conn = http.client.HTTPSConnection(host, port, timeout=DIAL_PATIENCE, context=self._core.settings.tls)
            if proxy is not None:
                conn.set_tunnel(e.host, e.port, proxy.headers)
        else:
            conn = http.client.HTTPConnection(host, port, timeout=DIAL_PATIENCE)
            self._through(proxy)
        conn.connect()
        conn.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return conn

    def _through(self, proxy: Proxy | None) -> None:
        """Have a proxy ask in the clear."""
        if proxy is not None and not self._target.startswith("http:"):
            self._target = f"http://{self._endpoint.authority}{self._target}"
            self._headers = {**self._headers, **proxy.headers, "Host": self._endpoint.authority}

    def _exchange(self, conn: http.client.HTTPConnection) -> Answer:
        with self._mu:
            self._conn = conn
            if self._aborted:
                conn.close()
                raise TimeoutError("given up")
        kept = False
        try:
            # The core's timer counts the whole; this is for its absence.
            conn.sock.settimeout(self._patience + 1)
            conn.request(self._method, self._target, self._body, self._headers)
            response = conn.getresponse()
            body = response.read(MAX_ANSWER)
            kept = not response.will_close and not self._aborted and response.isclosed()
            return response.status, body, response.headers.get("Retry-After")
        finally:
            with self._mu:
                self._conn = None
            if kept:
                self._core.rest.idle.keep(self._endpoint, conn)
            else:
                conn.close()

"""Proxies, as the environment names them: http_proxy, https_proxy, no_proxy."""

from __future__ import annotations

import asyncio
import base64
import http.client
import ipaddress
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from .settings import Endpoint

if TYPE_CHECKING:
    from .core import Core


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy."""

    host: str
    port: int
    headers: dict[str, str] = field(repr=False)


def proxy_for(endpoint: Endpoint) -> Proxy | None:
    """Tell the proxy that stands before an endpoint. This machine itself has none."""
    if _local(endpoint.host) or proxy_bypass(endpoint.authority):
        return None
    proxies = getproxies()
    url = proxies.get("https" if endpoint.secure else "http") or proxies.get("all")
    if not url:
        return None
    u = urlsplit(url if "//" in url else f"http://{url}")
    if u.scheme != "http" or not u.hostname:
        return None  # of another kind: not ours to speak
    headers = {}
    if u.username is not None:
        who = f"{unquote(u.username)}:{unquote(u.password or '')}".encode()
        headers["Proxy-Authorization"] = "Basic " + base64.b64encode(who).decode()
    return Proxy(u.hostname, u.port or 80, headers)


def _local(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def tunnel(core: Core, endpoint: Endpoint, patience: float) -> socket.socket | None:
    """Open a connection through the proxy, where there is one."""
    proxy = proxy_for(endpoint)
    if proxy is None:
        return None
    done: asyncio.Future[socket.socket] = core.loop.create_future()

    def tell(sock: socket.socket | None, error: Exception | None) -> None:
        if done.done():
            if sock is not None:
                sock.close()
        elif sock is not None:
            done.set_result(sock)
        elif error is not None:
            done.set_exception(error)

    def dial() -> None:
        conn = http.client.HTTPConnection(proxy.host, proxy.port, timeout=patience)
        conn.set_tunnel(endpoint.host, endpoint.port, proxy.headers)
        sock: socket.socket | None = None
        error: Exception | None = None
        try:
            conn.connect()
            sock = conn.sock
            sock.setblocking(False)
        except (OSError, http.client.HTTPException) as e:
            error = e if isinstance(e, OSError) else ConnectionError(str(e))
        core.post(lambda: tell(sock, error))

    core.rest.threads.run(dial)
    return await done

"""What a client is told as it is made."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from urllib.parse import urlsplit

from .errors import invalid
from .owner import default_client_id
from .request import seconds, utf8

MAX_CLIENT_ID = 256


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A node, or an address of the service."""

    secure: bool
    host: str
    port: int
    #: What stands before the service's own paths, without a slash at the end.
    path: str

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def socket_url(self) -> str:
        return f"{'wss' if self.secure else 'ws'}://{self.authority}{self.path}/ws"

    @classmethod
    def read(cls, url: str) -> Endpoint:
        try:
            u = urlsplit(url)
            port = u.port
        except ValueError as error:
            raise invalid("url", f"cannot be read: {error}") from None
        if u.scheme not in {"http", "https"} or not u.hostname:
            raise invalid("url", f"must be http://host:port or https://host:port, not {url}")
        if u.username is not None:
            raise invalid("url", "must hold no user or password; a token is given as token=")
        secure = u.scheme == "https"
        return cls(secure, u.hostname, port or (443 if secure else 80), u.path.rstrip("/"))


@dataclass(frozen=True, slots=True)
class Settings:
    """The choices of one client, in one process."""

    endpoints: tuple[Endpoint, ...]
    client_id: str
    #: Whether the user chose the client id.
    named: bool
    token: str | None = field(repr=False)
    tls: ssl.SSLContext | None
    web_socket: bool
    http_timeout: float

    @classmethod
    def read(
        cls,
        url: str,
        endpoints: Iterable[str],
        token: str | None,
        client_id: str | None,
        tls: ssl.SSLContext | None,
        web_socket: bool,
        http_timeout: float | timedelta,
    ) -> Settings:
        if isinstance(endpoints, str):
            raise invalid("endpoints", "must be a list of addresses, not one")
        if client_id is not None:
            utf8("client_id", client_id)
        if token is not None and not (token.isascii() and token.isprintable()):
            raise invalid("token", "must be printable ASCII")
        patience = seconds("http_timeout", http_timeout)
        if patience <= 0:
            raise invalid("http_timeout", "must be more than 0")
        addresses = tuple(Endpoint.read(e) for e in (url, *endpoints))
        if tls is None and any(e.secure for e in addresses):
            tls = ssl.create_default_context()
        return cls(
            endpoints=addresses,
            client_id=client_id or default_client_id(),
            named=bool(client_id),
            token=token or None,
            tls=tls,
            web_socket=web_socket,
            http_timeout=patience,
        )

    def in_child(self) -> Settings:
        """Make those of a forked child: a client of its own, whose locks are not its parent's."""
        suffix = f"-{os.getpid()}"
        name = default_client_id()
        if self.named:
            name = self.client_id.encode()[: MAX_CLIENT_ID - len(suffix)].decode("utf-8", "ignore") + suffix
        return Settings(self.endpoints, name, self.named, self.token, self.tls, self.web_socket, self.http_timeout)

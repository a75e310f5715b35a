"""One logical acquire, and what may be asked."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal
from urllib.parse import quote

from .errors import invalid
from .model import Place
from .owner import new_id

#: A number of seconds.
Seconds = float | timedelta
Mode = Literal["exclusive", "shared"]
Metadata = Mapping[str, Any]

#: How long an acquire waits in line, and the lease that it asks for, where it does not say.
DEFAULT_WAIT = 30.0
DEFAULT_TTL = 30.0

_write = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def dump(o: object) -> str:
    """Write JSON as the service reads it."""
    return _write(o)


def seconds(field: str, value: Seconds) -> float:
    """Read a duration: a number of seconds, or a timedelta."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise invalid(field, f"must be a number of seconds or a timedelta, not {type(value).__name__}")
    if not math.isfinite(value):
        raise invalid(field, "must be finite")
    return float(value)


def wire(value: float) -> float | int:
    """Cut a duration to the microsecond, whole seconds as a whole number."""
    value = round(value, 6)
    return int(value) if value == int(value) else value


def utf8(field: str, text: str) -> str:
    """Refuse what is no text: a lone surrogate cannot be sent."""
    if not isinstance(text, str):
        raise invalid(field, f"must be a str, not {type(text).__name__}")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise invalid(field, "must be UTF-8") from None
    return text


def lock_name(name: str) -> str:
    """Refuse a name that no path can carry, or that would become another's."""
    utf8("lockName", name)
    if not name:
        raise invalid("lockName", "is required")
    if name in {".", ".."}:
        raise invalid("lockName", "must not be . or .., which proxies rewrite")
    return name


def lock_path(name: str, verb: str = "") -> str:
    """Say where a lock stands in REST."""
    path = "/locks/" + quote(name, safe="")
    return f"{path}/{verb}" if verb else path


@dataclass(eq=False, slots=True)
class Request:
    """One acquire, over all its tries."""

    name: str
    owner: str
    id: str
    #: The lease in seconds, ``None`` for the service's default.
    ttl: float | None
    #: Seconds to wait in line, ``None`` without bound.
    wait: float | None
    auto_renew: bool
    max_hold: float | None
    metadata: Metadata | None
    on_place: Callable[[Place], object] | None
    #: The members that every try has, as they stand inside of its object.
    body: str

    def members(self, wait: float) -> str:
        """Write the members of a try that waits so long."""
        return f'"waitTimeout":{wire(wait)},{self.body}' if wait > 0 else self.body


def build(
    name: str,
    owner: str,
    *,
    timeout: Seconds | None,
    wait_timeout: Seconds | None,
    auto_renew: bool,
    max_hold: Seconds | None,
    metadata: Metadata | None,
    mode: Mode,
    limit: int | None,
    request_id: str | None,
    on_queued: Callable[[Place], object] | None,
) -> Request:
    """Check what was asked for, and put it together. The service checks what it alone knows."""
    lock_name(name)
    ttl = None if timeout is None else seconds("timeout", timeout)
    wait = None if wait_timeout is None else seconds("wait_timeout", wait_timeout)
    if wait is not None and wait < 0:
        raise invalid("wait_timeout", "must not be negative; None waits without bound")
    if mode not in {"exclusive", "shared"}:
        raise invalid("mode", f"must be 'exclusive' or 'shared', not {mode!r}")
    id_ = utf8("request_id", request_id) if request_id else new_id()
    members: dict[str, Any] = {} if ttl is None else {"timeout": wire(ttl)}
    if metadata is not None:
        members["metadata"] = _plain(metadata)
    members |= {"ownerId": utf8("owner", owner), "requestId": id_}
    if mode == "shared":
        members["mode"] = mode
    if limit is not None:
        if isinstance(limit, bool) or not isinstance(limit, int):
            raise invalid("limit", f"must be an int, not {type(limit).__name__}")
        members["limit"] = limit
    return Request(
        name=name,
        owner=owner,
        id=id_,
        ttl=ttl,
        wait=wait,
        auto_renew=auto_renew,
        max_hold=None if max_hold is None else seconds("max_hold", max_hold),
        metadata=metadata,
        on_place=on_queued,
        body=dump(members)[1:-1],
    )


def _plain(metadata: Metadata) -> Metadata:
    """Refuse what cannot be JSON, before anything depends on it."""
    if not isinstance(metadata, Mapping):
        raise invalid("metadata", f"must be a mapping, not {type(metadata).__name__}")
    plain = dict(metadata)
    try:
        dump(plain).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise invalid("metadata", f"cannot be JSON: {error}") from None
    return plain

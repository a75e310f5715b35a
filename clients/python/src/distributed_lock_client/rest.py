"""REST calls, to one endpoint after another where one fails. What blocks is done in threads."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from .errors import ELSEWHERE, LockError, from_body, unavailable
from .exchange import Exchange, Idle
from .model import Renewal
from .request import Request, dump, lock_path, wire
from .settings import Endpoint
from .threads import Threads
from .timing import backoff

if TYPE_CHECKING:
    from .core import Core

#: How long a node may take to say that it lives.
LIVES_PATIENCE = 3.0
#: No pause between two tries is longer for the service's word.
LONGEST_PAUSE = 1.0
#: A Retry-After beyond that is no advice for a lock.
LONGEST_RETRY_AFTER = 60.0
#: How long close waits for calls under way, whose sockets are shut down.
CLOSE_PATIENCE = 2.0


@dataclass(slots=True)
class RestCall:
    """One call. The path is escaped, without what the endpoint's own path is."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: str | None = field(default=None, repr=False)  # it may hold secrets
    name: str = ""
    #: Seconds that the service may take beside the usual.
    wait: float = 0.0
    #: ``resent[0]`` becomes true where an earlier try may have done it.
    resent: list[bool] | None = None

    @property
    def target(self) -> str:
        return f"{self.path}?{urlencode(self.query)}" if self.query else self.path


class Rest:
    """Makes calls for a client."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.threads = Threads("distributed-lock-rest")
        self.idle = Idle()
        self._endpoint = 0
        self._flying: set[Exchange] = set()

    async def close(self) -> None:
        for exchange in list(self._flying):
            exchange.abort()
        self.idle.close()
        await self.threads.close(CLOSE_PATIENCE)

    def sockets(self) -> list[int]:
        """Tell the file descriptors in use."""
        return [*self.idle.sockets(), *(fd for e in list(self._flying) for fd in e.sockets())]

    async def do(self, call: RestCall, patience: float | None = None) -> bytes:
        """Make a call: twice to each endpoint at most, the second time after a pause."""
        if patience is None:
            return await self._do(call)
        try:
            return await asyncio.wait_for(self._do(call), patience)
        except asyncio.TimeoutError:
            raise unavailable(self.core.link.cause or TimeoutError("no answer came in time")) from None

    async def _do(self, call: RestCall) -> bytes:
        endpoints = self.core.settings.endpoints
        last: Exception | None = None
        for attempt in range(2 * len(endpoints)):
            if attempt and attempt % len(endpoints) == 0:
                await asyncio.sleep(backoff(1, min(getattr(last, "retry_after", 0.0), LONGEST_PAUSE)))
            at = self._endpoint
            try:
                return await self._once(endpoints[at], call)
            except (LockError, OSError) as error:
                if isinstance(error, LockError) and error.code not in ELSEWHERE:
                    raise
                last = self.core.link.cause = error
            if call.resent is not None:
                call.resent[0] = True
            if self._endpoint == at:
                self._endpoint = (at + 1) % len(endpoints)
        if isinstance(last, LockError):
            raise last
        raise unavailable(last)

    async def _once(self, endpoint: Endpoint, call: RestCall) -> bytes:
        """Make a call to one endpoint."""
        settings = self.core.settings
        headers = {"User-Agent": "distributed-lock-client-python"}
        if settings.token:
            headers["Authorization"] = f"Bearer {settings.token}"
        if call.body is not None:
            headers["Content-Type"] = "application/json"
        body = None if call.body is None else call.body.encode()
        patience = settings.http_timeout + call.wait
        exchange = Exchange(self.core, endpoint, call.method, call.target, body, headers, patience)
        self._flying.add(exchange)
        timer = self.core.loop.call_later(patience, exchange.abort)
        self.threads.run(exchange.run)
        try:
            status, answer, later = await exchange.answer
        except BaseException:
            exchange.abort()
            raise
        finally:
            timer.cancel()
            self._flying.discard(exchange)
            if exchange.retried and call.resent is not None:
                call.resent[0] = True
        if status == 200:
            return answer
        error = from_body(answer, status, call.name)
        error.retry_after = max(error.retry_after, retry_after(later))
        raise error

    async def lives(self, endpoint: Endpoint) -> bool:
        """Ask a node for a sign of life."""
        try:
            await asyncio.wait_for(self._once(endpoint, RestCall("GET", "/livez")), LIVES_PATIENCE)
        except (LockError, OSError, asyncio.TimeoutError):
            return False
        return True

    async def get(self, path: str, name: str = "", **query: str) -> Any:
        """Read something."""
        return readable(await self.do(RestCall("GET", path, query, name=name)))

    async def _post(
        self,
        name: str,
        verb: str,
        members: str,
        *,
        wait: float = 0.0,
        resent: list[bool] | None = None,
        patience: float | None = None,
    ) -> Mapping[str, Any]:
        body = f'{{"clientId":{dump(self.core.settings.client_id)},{members}}}'
        call = RestCall("POST", lock_path(name, verb), body=body, name=name, wait=wait, resent=resent)
        answer = readable(await self.do(call, patience))
        if not isinstance(answer, dict):
            raise unavailable(ValueError("an answer that is not the service's"))
        return answer

    async def acquire(self, q: Request, wait: float, patience: float | None = None) -> Mapping[str, Any]:
        return await self._post(q.name, "acquire", q.members(wait), wait=wait, patience=patience)

    async def release(
        self, name: str, lock_id: str, resent: list[bool] | None = None, patience: float | None = None
    ) -> float:
        """Release a grant, and tell for how many seconds it was held."""
        answer = await self._post(name, "release", f'"lockId":{dump(lock_id)}', resent=resent, patience=patience)
        return float(answer.get("heldFor") or 0.0)

    async def renew(self, name: str, token: str, ttl: float | None, patience: float | None = None) -> Renewal:
        more = "" if ttl is None else f',"timeout":{wire(ttl)}'
        answer = await self._post(name, "renew", f'"renewalToken":{dump(token)}{more}', patience=patience)
        return Renewal.read(answer)


def readable(answer: bytes) -> Any:
    """Read an answer that was no error."""
    try:
        return json.loads(answer)
    except ValueError:
        raise unavailable(ValueError("an answer that is not the service's")) from None


def retry_after(header: str | None) -> float:
    """Read how long to wait; what cannot be read is none."""
    try:
        value = float(header or 0)
    except ValueError:
        return 0.0
    return value if 0 <= value <= LONGEST_RETRY_AFTER else 0.0

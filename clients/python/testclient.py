"""Does with the SDK what the conformance runner asks for, in lines of JSON on its stdin.

The protocol is in clients/conformance/README.md. Without arguments it is the client for threads, a thread a request;
with --asyncio, the one for asyncio, a task a request.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import json
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent / "src"))

import distributed_lock_client as dl

Object = dict[str, Any]

# The first that fits counts: an error of another kind may be one of these as well.
KINDS: list[tuple[type[BaseException], str]] = [
    (asyncio.CancelledError, "cancelled"),
    (dl.WaitCancelledError, "cancelled"),
    (dl.LockLostError, "lost"),
    (dl.LockReleasedError, "released"),
    (dl.ClientClosedError, "closed"),
    (dl.LockHeldError, "held"),
    (dl.LockTimeoutError, "wait_timeout"),
    (dl.DeadlockError, "deadlock"),
    (dl.NotOwnerError, "not_owner"),
    (dl.NotLockedError, "not_locked"),
    (dl.LimitMismatchError, "limit_mismatch"),
    (dl.RequestMismatchError, "request_mismatch"),
    (dl.InvalidArgumentError, "invalid_argument"),
    (dl.TooLargeError, "too_large"),
    (dl.UnauthorizedError, "unauthorized"),
    (dl.ForbiddenError, "forbidden"),
    (dl.QueueFullError, "queue_full"),
    (dl.RateLimitedError, "rate_limited"),
    (dl.OutcomeUnknownError, "outcome_unknown"),
    (dl.LockServiceUnavailable, "unavailable"),
]


def wire(value: Any) -> Any:
    """Give a value the names that it has on the wire."""
    if dataclasses.is_dataclass(value):
        o = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        if "ttl" in o:
            o["ttlMs"] = o.pop("ttl") * 1000
        return {camel(k): v if k == "metadata" else wire(v) for k, v in o.items()}
    if isinstance(value, (list, tuple)):
        return [wire(v) for v in value]
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return value


def camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(map(str.title, rest))


def failure(error: BaseException) -> Object:
    kind = next((k for e, k in KINDS if isinstance(error, e)), "other")
    if not isinstance(error, dl.LockError):
        return {"kind": kind, "detail": repr(error)}
    names = [
        "code",
        "status",
        "title",
        "detail",
        "request_id",
        "lock_name",
        "holders",
        "queue_length",
        "cycle",
        "limit",
        "fields",
    ]
    told = {camel(n): wire(getattr(error, n)) for n in names}
    return {"kind": kind, **told, "waitTimeMs": error.wait_time * 1000, "retryAfterMs": error.retry_after * 1000}


def span(args: Object, name: str) -> float | None:
    """Read a duration as the SDK has it."""
    return args[name] / 1000 if args.get(name) else None


class Program:
    """The one client of this process, with its locks by the ids of their requests."""

    def __init__(self) -> None:
        self.start = time.monotonic()
        self.out = threading.Lock()
        self.locks: dict[int, Any] = {}
        self.cancels: dict[int, Callable[[], object]] = {}
        self.client: Any = None
        self.push("ready", 0, lang="python")

    def write(self, line: Object) -> None:
        with self.out:
            line["at"] = (time.monotonic() - self.start) * 1000
            sys.stdout.write(json.dumps(line) + "\n")
            sys.stdout.flush()

    def push(self, event: str, of: int, **more: Any) -> None:
        self.write({"event": event, "of": of, **more})

    def options(self, q: Object) -> Object:
        a, id_ = q["args"], q["id"]
        return {
            "timeout": span(a, "ttlMs") or (30 if q["op"] == "do" else None),
            "wait_timeout": 0 if q["op"] == "try" else None if a.get("waitMs") is None else a["waitMs"] / 1000,
            "auto_renew": bool(a.get("autoRenew")) or q["op"] == "do",
            "max_hold": span(a, "maxHoldMs"),
            "metadata": a.get("metadata"),
            "mode": "shared" if a.get("shared") else "exclusive",
            "limit": a.get("limit"),
            "owner": a.get("owner"),
            "request_id": a.get("requestId"),
            "on_queued": lambda at: self.push("queued", id_, position=at.position, holders=len(at.holders)),
        }

    def owner(self, q: Object) -> contextlib.AbstractContextManager[None]:
        outer = self.locks.get(q["args"].get("ownerOf", 0))
        return dl.lock_owner(outer.owner_id) if outer else contextlib.nullcontext()

    def granted(self, id_: int, lock: Any) -> Object:
        self.locks[id_] = lock
        lock.on_lost(lambda lost: self.push("lost", id_, **failure(lost.loss)))
        names = [
            "lock_id",
            "name",
            "client_id",
            "owner_id",
            "request_id",
            "renewal_token",
            "fencing_token",
            "auto_renew",
            "metadata",
        ]
        ends = time.monotonic() - self.start + lock.expires_in
        told = {camel(n): getattr(lock, n) for n in names}
        return {**told, "waitedMs": lock.waited * 1000, "leftMs": lock.expires_in * 1000, "endsAt": ends * 1000}

    def settings(self, a: Object) -> tuple[str, Object]:
        first, *more = a["urls"]
        return first, {
            "endpoints": more,
            "client_id": a.get("clientId") or None,
            "token": a.get("token") or None,
            "web_socket": a.get("webSocket") is not False,
        }

    def status(self, status: dl.Status) -> Object:
        o: Object = wire(status)
        holder = o["holders"][0] if len(o["holders"]) == 1 else {}  # the wire has these of a sole holder
        return o | {k: holder[k] for k in ("clientId", "fencingToken", "expiresAt") if holder}

    def check(self, lock: Any) -> Object:
        lock.ensure_held()
        return {"held": lock.held, "leftMs": lock.expires_in * 1000}

    def event(self, of: int, event: dl.Event) -> None:
        self.push("event", of, **{k: v for k, v in wire(event).items() if v})

    def cancel(self, target: int) -> None:
        self.cancels.pop(target, lambda: None)()


def count() -> int:
    """All threads, tasks and timers of the process."""
    gc.collect()
    kinds = (asyncio.Task, asyncio.TimerHandle)
    alive = [o for o in gc.get_objects() if isinstance(o, kinds)]
    return threading.active_count() + sum(
        not (o.done() if isinstance(o, asyncio.Task) else o.cancelled()) for o in alive
    )


if __name__ == "__main__":
    if "--asyncio" in sys.argv:
        import testclient_asyncio

        asyncio.run(testclient_asyncio.main())
    else:
        import testclient_threads

        testclient_threads.main()

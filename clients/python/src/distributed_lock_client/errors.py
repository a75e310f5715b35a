"""What a call can fail with. The tree is shown in the package's docstring."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from .model import CycleStep, FieldError, Holder, cut, listed

MAX_EXCERPT = 200


class LockError(Exception):
    """Base of all errors of this package.

    ``str()`` says what happened and what to do, in the service's words where it spoke, with the code in brackets.
    """

    #: Names the case, for programs: ``lock_held``, ``wait_timeout``, ``deadlock``…
    code: str = ""
    #: HTTP status of the case, over a WebSocket too; 0 where the service did not speak.
    status: int = 0
    #: What the case is, and what happened this time, for people.
    title: str = ""
    detail: str = ""
    #: The acquire's request id, or else the ``X-Request-Id`` that the service logged.
    request_id: str = ""
    #: The lock that the call was about, ``""`` for none.
    lock_name: str = ""
    #: Up to 100 of those in the way, and how many wait: lock_held and wait_timeout.
    holders: tuple[Holder, ...] = ()
    queue_length: int = 0
    #: Seconds that the request waited: wait_timeout.
    wait_time: float = 0.0
    #: The deadlock: each waits for what the next one holds, the last for what the first holds.
    cycle: tuple[CycleStep, ...] = ()
    #: The live lock's limit: limit_mismatch.
    limit: int = 0
    #: Seconds to wait before asking again; 0 where the service did not say.
    retry_after: float = 0.0
    #: All that is wrong with the request: invalid_argument.
    fields: tuple[FieldError, ...] = ()

    def __init__(self, detail: str = "", **more: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.__dict__.update(more)

    def __str__(self) -> str:
        text = self.detail or self.title or type(self).__name__
        if self.lock_name and self.lock_name not in text:
            text = f"{self.lock_name}: {text}"
        if not self.code:
            return text
        return f"{text} ({self.code})" if self.detail else f"{text} ({self.code}, status {self.status})"


class LockTimeoutError(LockError, TimeoutError):
    """The lock did not come free within the wait."""

    code = "wait_timeout"


class LockHeldError(LockTimeoutError):
    """Somebody else holds the lock, and the call does not wait."""

    code = "lock_held"


class DeadlockError(LockError):
    """The request was failed to break a deadlock, told in ``cycle``. Release what is held, then begin anew."""

    code = "deadlock"


class LockLostError(LockError):
    """The lock is no longer held: its lease ran out, or it was taken."""

    code = "lock_lost"


class LockReleasedError(LockError):
    """The lock was released here, and is used all the same."""

    code = "released"


class NotOwnerError(LockError):
    """The grant is another client's, or another process's."""

    code = "not_owner"


class NotLockedError(LockError):
    """There is nothing to force."""

    code = "not_locked"


class LimitMismatchError(LockError):
    """The lock is in use with another ``limit``."""

    code = "limit_mismatch"


class RequestMismatchError(LockError):
    """The request id was used for another request."""

    code = "request_mismatch"


class InvalidArgumentError(LockError, ValueError):
    """Something about the call is not allowed, told in ``fields``; nothing was done."""

    code = "invalid_argument"


class TooLargeError(LockError):
    """The request has more than 64 KiB."""

    code = "too_large"


class UnauthorizedError(LockError):
    """No token, or a wrong one."""

    code = "unauthorized"


class ForbiddenError(LockError):
    """The token does not allow it, or the service has no admin token."""

    code = "forbidden"


class QueueFullError(LockError):
    """As many wait for the lock as may."""

    code = "queue_full"


class RateLimitedError(LockError):
    """The node takes no more requests for now."""

    code = "rate_limited"


class LockServiceUnavailable(LockError):  # noqa: N818 - the state of the service, as HTTP calls it
    """No endpoint can be reached, or the service cannot do it now. ``__cause__`` is what went wrong last."""

    code = "unavailable"


class OutcomeUnknownError(LockError):
    """The service does not know whether it was done. Asking again with the same request id settles it."""

    code = "outcome_unknown"


class WaitCancelledError(LockError):
    """The wait was ended by its :class:`~distributed_lock_client.CancelToken`."""

    code = "cancelled"


class ClientClosedError(LockError):
    """The client was closed."""

    code = "closed"

    def __init__(self, detail: str = "The client is closed. Make a new one.", **more: Any) -> None:
        super().__init__(detail, **more)


class NoWebSocketError(Exception):
    """The service, or something before it, speaks no WebSocket. It never reaches a user."""


_KINDS: tuple[type[LockError], ...] = (
    LockHeldError,
    LockTimeoutError,
    DeadlockError,
    LockLostError,
    NotOwnerError,
    NotLockedError,
    LimitMismatchError,
    RequestMismatchError,
    InvalidArgumentError,
    TooLargeError,
    UnauthorizedError,
    ForbiddenError,
    QueueFullError,
    RateLimitedError,
    LockServiceUnavailable,
    OutcomeUnknownError,
    WaitCancelledError,
)
#: The service's codes and what they are called here.
BY_CODE: dict[str, type[LockError]] = {kind.code: kind for kind in _KINDS}
BY_CODE.update(admin_disabled=ForbiddenError, draining=LockServiceUnavailable)

#: The codes at which asking again may help, without anybody doing anything.
RETRYABLE = frozenset({"outcome_unknown", "draining", "unavailable", "rate_limited", "internal"})

#: Codes at which another endpoint may do better.
ELSEWHERE = frozenset({"outcome_unknown", "draining", "unavailable", "internal"})


def retryable(error: BaseException) -> bool:
    """Report whether asking again may help."""
    if isinstance(error, LockError):
        return error.code in RETRYABLE
    return isinstance(error, (NoWebSocketError, OSError))


def unavailable(cause: BaseException | None) -> LockServiceUnavailable:
    """Make the error of a call that got no answer in time, with the last cause."""
    if isinstance(cause, LockServiceUnavailable):
        return cause
    why = f": {str(cause) or type(cause).__name__}" if cause is not None else ""
    error = LockServiceUnavailable(f"The lock service is unavailable{why}")
    error.__cause__ = cause
    return error


def give_up(cause: BaseException) -> NoReturn:
    """Raise the error of a call that got no answer in time, with the last cause."""
    error = unavailable(cause)
    raise error from error.__cause__


def invalid(field: str, detail: str) -> InvalidArgumentError:
    """Refuse an argument before anything is sent."""
    return InvalidArgumentError(
        f"{field} {detail}. Nothing was sent.",
        status=400,
        title="The request is not valid",
        fields=(FieldError(field, detail),),
    )


def from_body(body: bytes, status: int, lock_name: str = "") -> LockError:
    """Read the answer of an HTTP call that failed, whoever wrote it."""
    try:
        problem = json.loads(body)
    except ValueError:
        problem = None
    if isinstance(problem, dict) and isinstance(problem.get("code"), str) and problem["code"]:
        return from_problem(problem, status, lock_name)
    code = code_of(status)
    return BY_CODE.get(code, LockError)(
        cut(body, MAX_EXCERPT),
        code=code,
        status=status,
        title="An answer that is not the service's",
        lock_name=lock_name,
    )


def from_problem(problem: Mapping[str, Any], status: int = 0, lock_name: str = "") -> LockError:
    """Make the error of a problem, or of an error frame."""
    code = problem["code"]
    kind = BY_CODE.get(code, LockError)
    return kind(
        str(problem.get("detail") or ""),
        code=code,
        status=problem.get("status") or status,
        title=problem.get("title") or "",
        request_id=problem.get("requestId") or "",
        lock_name=lock_name or problem.get("lockName") or "",
        holders=tuple(Holder.read(h) for h in listed(problem.get("holders"))),
        queue_length=problem.get("queueLength") or 0,
        wait_time=problem.get("waitTime") or 0.0,
        cycle=tuple(CycleStep.read(s) for s in listed(problem.get("cycle"))),
        limit=problem.get("limit") or 0,
        retry_after=problem.get("retryAfter") or 0.0,
        fields=tuple(FieldError.read(f) for f in listed(problem.get("errors"))),
    )


def code_of(status: int) -> str:
    """Name an answer that came from something between us and the service."""
    known = {
        401: "unauthorized",
        403: "forbidden",
        404: "not_found",
        405: "method_not_allowed",
        413: "too_large",
        429: "rate_limited",
    }
    if status in known:
        return known[status]
    if status >= 502:
        return "unavailable"
    return "internal" if status >= 500 else "invalid_argument"

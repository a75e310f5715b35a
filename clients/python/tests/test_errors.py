"""Errors: typed, with everything, and whole after a pickle."""

from __future__ import annotations

import copy
import inspect
import math
import pickle
from typing import Any

import pytest

import distributed_lock_client as dl
from distributed_lock_client import errors

KINDS = [k for _, k in inspect.getmembers(dl) if inspect.isclass(k) and issubclass(k, dl.LockError)]


@pytest.mark.parametrize("kind", KINDS)
def test_errors_are_pickled_whole(kind: type[dl.LockError]) -> None:
    error = kind("What happened.", lock_name="x", status=409, holders=(), fields=(dl.FieldError("a", "b"),))
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(other) is kind
        assert str(other) == str(error)
        assert other.fields[0].field == "a"
        assert other.status == 409


def test_the_tree_is_the_one_in_the_docstring() -> None:
    assert len(KINDS) == 20
    for kind in KINDS:
        assert dl.__doc__ is not None
        assert kind.__name__ in dl.__doc__
    assert issubclass(dl.LockTimeoutError, TimeoutError)
    assert issubclass(dl.LockHeldError, dl.LockTimeoutError)
    assert issubclass(dl.InvalidArgumentError, ValueError)


def test_what_an_error_says() -> None:
    error = errors.from_problem({"code": "rate_limited", "detail": "Too much.", "status": 429, "retryAfter": 1}, 0, "x")
    assert str(error) == "x: Too much. (rate_limited)"
    assert error.retry_after == 1
    assert str(errors.unavailable(OSError("no route"))) == "The lock service is unavailable: no route (unavailable)"
    assert str(dl.LockError(lock_name="x", title="So", code="new", status=418)) == "x: So (new, status 418)"


BAD: list[dict[str, Any]] = [
    {"timeout": "30"},
    {"timeout": True},
    {"timeout": math.nan},
    {"wait_timeout": -1},
    {"wait_timeout": math.inf},
    {"mode": "exclusiv"},
    {"limit": "5"},
    {"metadata": {"a": object()}},
    {"metadata": {"a": math.inf}},
    {"metadata": {"a": "\ud800"}},
    {"metadata": ["a"]},
    {"owner": "\ud800"},
    {"request_id": "\udfff"},
    {"max_hold": "soon"},
]


@pytest.mark.parametrize("given", BAD, ids=repr)
def test_what_is_refused_before_anything_is_sent(given: dict[str, Any]) -> None:
    with dl.DistributedLockClient("http://127.0.0.1:1") as client, pytest.raises(dl.InvalidArgumentError) as caught:
        client.acquire("x", **given)
    assert caught.value.fields[0].detail


@pytest.mark.parametrize("url", ["localhost:5000", "ftp://x", "http://", "http://x:y", "http://u:p@x", ""])
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(ValueError, match="url"):
        dl.DistributedLockClient(url)
    with pytest.raises(ValueError, match="url"):
        dl.AsyncDistributedLockClient(url)


def test_the_services_refusal_tells_the_field(client: dl.DistributedLockClient, name: str) -> None:
    with pytest.raises(dl.InvalidArgumentError) as caught:
        client.acquire(name, timeout=0.01)
    assert [f.field for f in caught.value.fields] == ["timeout"]
    assert caught.value.status == 400
    with client.lock(name, limit=2), pytest.raises(dl.LimitMismatchError) as mismatch:
        client.acquire(name, limit=3, owner="other")
    assert mismatch.value.limit == 2
    with pytest.raises(dl.TooLargeError):
        client.acquire(name, metadata={"text": "x" * 70_000})
    with client.lock(name, request_id="r-1"), pytest.raises(dl.RequestMismatchError) as other:
        client.acquire(name, timeout=31, request_id="r-1")
    assert other.value.request_id == "r-1"


def test_no_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distributed_lock_client.acquire.TRY_PATIENCE", 0.5)
    with dl.DistributedLockClient("http://127.0.0.1:1", endpoints=["http://127.0.0.1:2"]) as client:
        with pytest.raises(dl.LockServiceUnavailable) as caught:
            client.acquire("x", wait_timeout=0)
        assert isinstance(caught.value.__cause__, OSError)
        with pytest.raises(dl.LockServiceUnavailable):
            client.status("x")

"""The vectors that all SDKs share."""

from __future__ import annotations

import http.server
import json
import re
import threading
import time
from datetime import datetime
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import unquote

import pytest
from testclient import KINDS, failure, wire

import distributed_lock_client as dl
from distributed_lock_client.lease import Lease
from distributed_lock_client.model import Place
from distributed_lock_client.request import Request, lock_path
from distributed_lock_client.timing import Clock, backoff, lease_end, margin

from .conftest import VECTORS
from .kit import GRANT, Fake, fake

Case = dict[str, Any]


def cases(file: str) -> list[Case]:
    found: list[Case] = json.loads((VECTORS / file).read_text())["cases"]
    assert len(found) >= 10
    return found


def about(case: Case) -> str:
    return str(case["about"])


def text_of(case: Case) -> str | None:
    if "utf16" in case:
        return "".join(map(chr, case["utf16"]))
    return case.get("name")


@pytest.mark.parametrize("case", cases("names.json"), ids=repr)
def test_names(case: Case) -> None:
    name = text_of(case)
    if name is None:
        return  # bytes are no str
    if case["legal"]:
        path = lock_path(name).removeprefix("/locks/")
        assert re.fullmatch(r"[A-Za-z0-9\-._~!$&'()*+,;=:@%]+", path)
        assert unquote(path, errors="strict") == name
        return
    if name in {"", ".", ".."} or "utf16" in case:
        with dl.DistributedLockClient("http://127.0.0.1:1") as client, pytest.raises(dl.InvalidArgumentError):
            client.status(name)


class Answering(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        case = cast("Any", self.server).case["http"]
        body = case["body"].encode()
        self.send_response(case["status"])
        for key, value in case["headers"].items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002


def over_http(case: Case) -> dl.LockError:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        cast("Any", server).case = case
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            with (
                dl.DistributedLockClient(f"http://127.0.0.1:{server.server_port}") as client,
                pytest.raises(dl.LockError) as caught,
            ):
                client.status("x")
        finally:
            server.shutdown()
            thread.join()
    return caught.value


def over_frame(case: Case) -> dl.LockError:
    with fake() as node, dl.DistributedLockClient(node.url) as client:
        node.answers["acquire"] = lambda _: [retold(case["frame"])]
        with pytest.raises(dl.LockError) as caught:
            client.acquire("x", 1, 0, request_id="r-1")
    return caught.value


def retold(frame: str) -> str:
    return re.sub(r'"id":\s*"\d+"', '"id":"ID"', frame)


@pytest.mark.parametrize("case", [c for c in cases("errors.json") if "http" in c], ids=about)
def test_errors_over_http(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distributed_lock_client.rest.LONGEST_PAUSE", 0.01)
    check_error(case, over_http(case))


@pytest.mark.parametrize("case", [c for c in cases("errors.json") if "frame" in c], ids=about)
def test_errors_as_frames(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distributed_lock_client.acquire.TRY_PATIENCE", 0.1)
    monkeypatch.setattr("distributed_lock_client.acquire.WAIT_GRACE", 0.1)
    error = over_frame(case)
    if isinstance(error, dl.LockServiceUnavailable) and case["kind"] != "unavailable":
        assert isinstance(error.__cause__, dl.LockError)  # it was tried for some time, in vain
        error = error.__cause__
    check_error(case, error)


def check_error(case: Case, error: dl.LockError) -> None:
    got = failure(error)
    assert got["kind"] == case["kind"]
    assert str(error)
    names = {kind for cls, kind in KINDS if isinstance(error, cls)}
    assert names <= {case["kind"], "wait_timeout" if case["kind"] == "held" else case["kind"]}
    wanted = dict(case["fields"])
    if case["kind"] == "wait_timeout" and "frame" in case:
        del wanted["waitTimeMs"]  # an acquire tells its whole wait, over all that it asked
    compare(got, wanted)


def compare(got: Case, wanted: Case) -> None:
    """Hold the wanted fields against those there are. Fields of later versions are nobody's."""
    for key, value in wanted.items():
        assert plain(got.get(key)) == plain(value), key


def plain(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return datetime.fromisoformat(value.replace("Z", "+00:00"))
        except ValueError:
            return value
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, list):
        return [plain(v) for v in value] or None
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items() if k != "future"}
    return value


@pytest.mark.parametrize("case", cases("backoff.json"), ids=repr)
def test_backoff(case: Case) -> None:
    low, high = case["minMs"], case["maxMs"]
    tenths = set()
    for _ in range(500):
        delay = backoff(case["attempt"], case["retryAfterMs"] / 1000) * 1000
        assert low <= delay <= high
        tenths.add(int(10 * (delay - low) / (high - low)))
    assert len(tenths) >= 8


@pytest.mark.parametrize("case", cases("lease.json"), ids=about)
def test_lease(case: Case) -> None:
    clock = Clock()
    for sample in case["samples"]:
        clock.learn(sample["serverTime"] / 1000, sample["sentAt"] / 1000, sample["receivedAt"] / 1000)
    sent, received = case["sentAt"] / 1000, case["receivedAt"] / 1000
    expires, ttl = case["expiresAt"] / 1000, case["ttlMs"] / 1000
    if case["atOnce"]:
        clock.learn(expires - ttl, sent, received)
    else:
        clock.doubt(expires - ttl, received)
    ends, _, _ = lease_end(clock, ttl, expires, sent, received)
    lost_at = (ends - margin(case["leaseMs"] / 1000)) * 1000
    assert case["noEarlierThan"] <= lost_at <= case["noLaterThan"]


def test_a_clock_that_was_set_forward_is_found_out() -> None:
    clock = Clock()
    clock.learn(1000.0, 1.0, 1.001)
    clock.doubt(1001.0, 2.0)
    assert clock.known
    clock.doubt(1100.0, 3.0)
    assert not clock.known
    assert lease_end(clock, 10, 1110, 1.0, 3.0) == (11.0, 13.0, False)


def grant(node: Fake, client: dl.DistributedLockClient, frame: str, name: str = "x") -> dl.Lock:
    node.answers["acquire"] = lambda _: [retold(frame)]
    return client.acquire(name, 30, 0, owner="o-1", request_id="r-1")


def read_grant(node: Fake, client: dl.DistributedLockClient, case: Case) -> Case:
    lock = grant(node, client, case["frame"], case["fields"]["name"])
    names = ["lock_id", "name", "client_id", "owner_id", "request_id", "fencing_token", "renewal_token"]
    for ours in ("metadata", "ttlMs", "expiresAt"):  # the caller's own, and those of other vectors
        case["fields"].pop(ours, None)
    return {wired(n): getattr(lock, n) for n in names} | {"waitedMs": lock.waited * 1000}


def wired(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(map(str.title, rest))


def read_place(node: Fake, client: dl.DistributedLockClient, case: Case) -> Case:
    before = '{"type":"queued","id":"ID","lockName":"x","requestId":"r-1","position":9,"holders":[]}'
    node.answers["acquire"] = lambda _: ([before] if case["is"] == "position" else []) + [retold(case["frame"])]
    token = dl.CancelToken()
    places: list[Place] = []

    def queued(place: Place) -> None:
        places.append(place)
        if place.position == case["fields"]["position"]:
            token.cancel()

    with pytest.raises(dl.WaitCancelledError):
        client.acquire("x", 1, 10, request_id="r-1", on_queued=queued, cancel=token)
    case["fields"].pop("requestId", None)
    return dict(wire(places[-1]))


def read_released(node: Fake, client: dl.DistributedLockClient, case: Case) -> Case:
    lock = grant(node, client, GRANT)
    node.answers["release"] = lambda _: [retold(case["frame"])]
    return {"heldForMs": client.release("x", lock.lock_id) * 1000}


def read_renewed(node: Fake, client: dl.DistributedLockClient, case: Case) -> Case:
    lock = grant(node, client, GRANT)
    node.answers["renew"] = lambda _: [retold(case["frame"])]
    return dict(wire(client.renew("x", lock.renewal_token)))


def read_lost(node: Fake, client: dl.DistributedLockClient, case: Case) -> Case:
    node.answers["acquire"] = lambda _: [GRANT, case["frame"]]
    lock = client.acquire("x", 30, 0, request_id="r-1")
    assert lock.wait_lost(10)
    assert lock.loss is not None
    return {"name": lock.loss.lock_name} | {k: case["fields"][k] for k in ("lockId", "reason")}


def read_event(node: Fake, client: dl.DistributedLockClient, case: Case) -> Case:
    node.answers["subscribe"] = lambda _: ['{"type":"subscribed","id":"ID","subscription":"1"}', case["frame"]]
    with client.subscribe() as events:
        return dict(wire(next(events)))


def pass_over(node: Fake, client: dl.DistributedLockClient, case: Case) -> Case:
    """Want that after the frame everything goes on."""
    if case["is"] == "welcome":
        node.answers["hello"] = lambda _: [retold(case["frame"])]
        node.answers["acquire"] = lambda _: [GRANT]
    else:
        node.answers["acquire"] = lambda _: [case["frame"], GRANT]
    for _ in range(2):
        lock = client.acquire("x", 30, 0, request_id="r-1")
        assert lock.held
        lock.release()
    return dict(case["fields"])


READ = {
    "grant": read_grant,
    "queued": read_place,
    "position": read_place,
    "released": read_released,
    "renewed": read_renewed,
    "lost": read_lost,
    "event": read_event,
    "welcome": pass_over,
    "draining": pass_over,
    "ignored": pass_over,
}


@pytest.mark.parametrize("case", cases("frames.json"), ids=about)
def test_frames(case: Case) -> None:
    with fake() as node, dl.DistributedLockClient(node.url, client_id="c-1") as client:
        compare(READ[case["is"]](node, client, case), case["fields"])


def test_a_lease_ends_with_what_the_service_told() -> None:
    """The deadline of a lock stands on the vectors' formula, from its first sending."""
    handle = SimpleNamespace(cancel=lambda: None)
    clock = Clock()
    core = SimpleNamespace(
        link=SimpleNamespace(clock=clock),
        loop=SimpleNamespace(call_later=lambda *_: handle),
        lapse=lambda *_: None,
        held={},
        post=lambda f: f(),
    )
    q = SimpleNamespace(name="x", ttl=10.0, id="r")
    sent = time.monotonic()
    lease = Lease(cast("Any", core), cast("Request", q), {"ttlMs": 9999, "expiresAt": "?"}, sent, sent + 1)
    assert lease.ends == pytest.approx(sent + 9.999)
    assert lease.lost_at == pytest.approx(sent + 9.499)
    assert lease.unproven
    lease.unsure(sent, 2.0)
    assert lease.ends == pytest.approx(sent + 2)
    lease.extend(20.0, sent + 1, sent + 2)
    assert lease.ends == pytest.approx(sent + 21)
    lease.lose("so")
    lease.extend(90.0, sent, sent)
    assert not lease.held

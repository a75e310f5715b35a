"""The calls about locks, events, and REST alone."""

from __future__ import annotations

import asyncio
import re
import socket
import threading

import pytest

import distributed_lock_client as dl

from .kit import until


def test_what_is_known_of_locks(client: dl.DistributedLockClient, admin: dl.DistributedLockClient, name: str) -> None:
    shared = client.acquire(f"{name}/c", mode="shared")
    with client.lock(f"{name}/a b?"):
        assert sorted(s.lock_name for s in client.list_locks(name)) == [f"{name}/a b?", f"{name}/c"]
        status = client.status(f"{name}/c")
        assert (status.mode, status.locked, status.queue_length) == ("shared", True, 0)
        assert client.acquire(f"{name}/c", mode="shared").fencing_token > shared.fencing_token
        assert client.stats().acquired_total > 0
        assert isinstance(client.graph(), dl.Graph)
        assert client.graph_dot().startswith("digraph")
        health = client.health()
        assert health.status == "ok"
        assert health.redis_latency >= 0
        with pytest.raises((dl.UnauthorizedError, dl.ForbiddenError)):
            client.force_release(f"{name}/c", "not mine")
        assert len(admin.force_release(f"{name}/c", "for the test")) == 2
        with pytest.raises(dl.NotLockedError):
            admin.force_release(f"{name}/c")
        with pytest.raises(dl.LockLostError):
            shared.release()


def test_releasing_and_renewing_by_id(url: str, client: dl.DistributedLockClient, name: str) -> None:
    lock = client.acquire(name)
    with dl.DistributedLockClient(url) as other:
        with pytest.raises(dl.NotOwnerError):
            other.release(name, lock.lock_id)
        with pytest.raises(dl.NotOwnerError):
            other.renew(name, lock.renewal_token)
    assert 0 <= client.release(name, lock.lock_id) < 10
    with pytest.raises(dl.LockLostError):
        client.release(name, lock.lock_id)


def test_events(client: dl.DistributedLockClient, name: str) -> None:
    with client.subscribe(f"{name}*", ["granted", "released"]) as events:
        first = None
        while first is None:  # until the service knows of it
            with client.lock(f"{name}/probe"):
                pass
            first = next(events)
        lock = client.acquire(name)
        event = next(e for e in events if e.lock_name == name)
        assert (event.kind, event.fencing_token, event.client_id) == ("granted", lock.fencing_token, client.client_id)
        threading.Timer(0.05, events.close).start()
        assert list(events) == []
    with pytest.raises(dl.InvalidArgumentError):
        next(client.subscribe(events=["no such kind"]))


def test_a_subscription_ends_with_its_client(url: str) -> None:
    client = dl.DistributedLockClient(url)
    events = client.subscribe()
    threading.Timer(0.1, client.close).start()
    assert list(events) == []


def test_async_events(url: str, name: str) -> None:
    async def main() -> None:
        async with dl.AsyncDistributedLockClient(url) as client, client.subscribe([name, "x"]) as events:

            async def work() -> None:
                while True:
                    async with client.lock(name):
                        await asyncio.sleep(0.01)

            task = asyncio.create_task(work())
            async for event in events:
                assert event.lock_name == name
                task.cancel()
                events.close()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(asyncio.wait_for(main(), 10))


def test_rest_alone(url: str, admin: dl.DistributedLockClient, name: str) -> None:
    with dl.DistributedLockClient(url, web_socket=False) as client:
        with client.lock(name, timeout=0.6, auto_renew=True) as lock:
            assert not lock.wait_lost(1)
            token = dl.CancelToken()
            timer = threading.Timer(0.2, token.cancel)
            timer.start()
            with pytest.raises(dl.WaitCancelledError):
                client.acquire(name, wait_timeout=None, owner="other", cancel=token)
            until(lambda: not admin.status(name).queue_length)
            with pytest.raises(dl.LockTimeoutError):
                client.acquire(name, wait_timeout=0.2, owner="other")
            with pytest.raises(dl.LockServiceUnavailable):
                next(client.subscribe())
        got: list[dl.Lock] = []
        first = client.acquire(name)
        thread = threading.Thread(target=lambda: got.append(client.acquire(name, wait_timeout=20)))
        thread.start()
        until(lambda: admin.status(name).queue_length == 1)
        first.release()
        thread.join(10)
        got[0].release()
        assert not admin.status(name).locked
        client.acquire(name)
    assert not admin.status(name).locked  # close gave it back


def whole(conn: socket.socket) -> bytes:
    """Read a request with its body."""
    data = b""
    while (end := data.find(b"\r\n\r\n")) < 0:
        data += conn.recv(65536)
    length = re.search(rb"(?i)content-length: (\d+)", data[:end])
    while length is not None and len(data) < end + 4 + int(length[1]):
        data += conn.recv(65536)
    return data


def test_a_service_that_speaks_no_websocket(url: str, name: str) -> None:
    """Something before it that answers the handshake with 501, and passes all else on."""
    host, _, port = url.removeprefix("http://").partition(":")

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                conn, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=relay, args=(conn,), daemon=True).start()

    def relay(conn: socket.socket) -> None:
        with conn:
            head = whole(conn)
            if b"upgrade: websocket" in head.lower():
                conn.sendall(b"HTTP/1.1 501 Not Implemented\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                return
            with socket.create_connection((host, int(port))) as node:
                node.sendall(head.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
                while data := node.recv(65536):
                    conn.sendall(data)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        with dl.DistributedLockClient(f"http://127.0.0.1:{listener.getsockname()[1]}") as client:
            with client.lock(name) as lock:
                assert client.status(name).locked
            assert lock.fencing_token
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)


@pytest.mark.parametrize("web_socket", [True, False])
def test_a_proxy_of_the_environment(url: str, name: str, web_socket: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that connects through, or passes on: the service has a name that only the proxy knows."""
    host, _, port = url.removeprefix("http://").partition(":")
    asked: list[bytes] = []

    def relay(conn: socket.socket) -> None:
        with conn, socket.create_connection((host, int(port))) as node:
            head = whole(conn)
            asked.append(head.split(b"\r\n")[0])
            if head.startswith(b"CONNECT"):
                conn.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            else:
                line, _, rest = head.partition(b"\r\n")
                verb, address, version = line.split()
                path = b"/" + address.split(b"/", 3)[3]
                node.sendall(b" ".join((verb, path, version)) + b"\r\n" + rest)
            back = threading.Thread(target=pump, args=(node, conn))
            back.start()
            pump(conn, node)
            back.join()

    def pump(source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    threads: list[threading.Thread] = []

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                conn, _ = listener.accept()
            except OSError:
                return
            threads.append(threading.Thread(target=relay, args=(conn,)))
            threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threads.append(threading.Thread(target=serve, args=(listener,)))
        threads[0].start()
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{listener.getsockname()[1]}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        with dl.DistributedLockClient("http://locks.test:5000", web_socket=web_socket) as client, client.lock(name):
            assert client.status(name).locked
        listener.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join(5)
    assert any(b"locks.test:5000" in line for line in asked)
    assert any(line.startswith(b"CONNECT") for line in asked) is web_socket

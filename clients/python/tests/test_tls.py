"""https and wss, with a certificate of one's own and a bearer token."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

import distributed_lock_client as dl

from .kit import GRANT, Fake, port_of


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl to make a certificate with")
    key, cert = tmp_path / "key", tmp_path / "cert"
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)),
        ],
        check=True,
        capture_output=True,
    )
    return cert, key


@pytest.fixture
def node(certificate: tuple[Path, Path]) -> Iterator[tuple[Fake, list[str]]]:
    """A node behind TLS that wants a token, below a path of its own."""
    fake, paths = Fake(), list[str]()
    fake.answers["acquire"] = lambda _: [GRANT]
    loop, ready, end = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)

    def enter(_conn: ServerConnection, request: Request) -> Response | None:
        paths.append(request.path)
        if request.headers.get("Authorization") != "Bearer the-secret":
            problem = b'{"code":"unauthorized","status":401,"title":"No","detail":"Send a token."}'
            return Response(401, "No", Headers({"Content-Length": str(len(problem))}), problem)
        if request.path.endswith("/status"):
            body = b'{"lockName":"x","locked":true,"holders":[],"queueLength":0}'
            return Response(200, "OK", Headers({"Content-Length": str(len(body))}), body)
        return None

    async def run() -> None:
        protocols = [Subprotocol("distributed-lock.v1")]
        async with serve(
            fake.handle, "127.0.0.1", 0, subprotocols=protocols, ssl=context, process_request=enter, close_timeout=0.1
        ) as server:
            fake.url = f"https://127.0.0.1:{port_of(server)}/base/"
            ready.set()
            await end.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()))
    thread.start()
    assert ready.wait(10)
    yield fake, paths
    loop.call_soon_threadsafe(end.set)
    thread.join()
    loop.close()


def test_tls(node: tuple[Fake, list[str]], certificate: tuple[Path, Path]) -> None:
    fake, paths = node
    trust = ssl.create_default_context(cafile=certificate[0])
    with dl.DistributedLockClient(fake.url, token="the-secret", tls=trust) as client:
        with client.lock("x", request_id="r-1") as lock:
            assert lock.held
        assert client.status("x").locked
    assert paths == ["/base/ws", "/base/locks/x/status"]


def test_a_wrong_token_fails_every_call_at_once(node: tuple[Fake, list[str]], certificate: tuple[Path, Path]) -> None:
    fake, _ = node
    trust = ssl.create_default_context(cafile=certificate[0])
    with dl.DistributedLockClient(fake.url, token="a-wrong-one", tls=trust) as client:
        with pytest.raises(dl.UnauthorizedError, match=r"Send a token\."):
            client.acquire("x", wait_timeout=None)
        with pytest.raises(dl.UnauthorizedError) as caught:
            client.status("x")
        assert caught.value.status == 401
        assert "a-wrong-one" not in str(caught.value)


def test_a_certificate_that_nobody_signed(node: tuple[Fake, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distributed_lock_client.acquire.TRY_PATIENCE", 0.5)
    fake, _ = node
    with (
        dl.DistributedLockClient(fake.url, token="the-secret") as client,
        pytest.raises(dl.LockServiceUnavailable, match="certificate"),
    ):
        client.acquire("x", wait_timeout=0)

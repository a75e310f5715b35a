"""A fake node, and waiting for what is to come."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.typing import Subprotocol

Frame = dict[str, Any]
#: What a node answers to a frame: texts, in which ID stands for the frame's id.
Answers = Callable[[Frame], list[str]]

GRANT = (
    '{"type":"granted","id":"ID","acquired":true,"lockId":"kR3vT9qLkR3vT9qLkR3vT9qL","lockName":"x","clientId":"c-1",'
    '"ownerId":"o-1","requestId":"r-1","expiresAt":"2026-11-23T08:04:45.534Z","ttlMs":29999,"fencingToken":5,'
    '"renewalToken":"t","waitTime":0,"autoRenew":false,"metadata":null}'
)


def until(true: Callable[[], object], patience: float = 10) -> None:
    """Wait for something that has to come."""
    end = time.monotonic() + patience
    while not true():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.005)


async def soon(true: Callable[[], object], patience: float = 10) -> None:
    """Wait in a loop for something that has to come."""
    end = time.monotonic() + patience
    while not true():
        assert time.monotonic() < end, "it does not come"
        await asyncio.sleep(0.005)


def now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def port_of(server: Server) -> int:
    (sock,) = server.sockets
    return int(sock.getsockname()[1])


def nothing(_: Frame) -> list[str]:
    return []


class Fake:
    """A node that answers as a test wants, in a thread of its own."""

    def __init__(self) -> None:
        self.answers: dict[str, Answers] = {
            "hello": lambda _: [
                f'{{"type":"welcome","id":"ID","session":"s","heartbeat":15,"node":"n","resumed":false,"time":"{now()}"}}'
            ],
            "cancel": lambda q: [f'{{"type":"error","id":"{q["target"]}","code":"cancelled","status":409}}'],
            "release": lambda _: ['{"type":"released","id":"ID","released":true,"heldFor":1}'],
        }
        self.asked: list[Frame] = []
        self.url = ""

    async def handle(self, conn: ServerConnection) -> None:
        async for text in conn:
            frame: Frame = json.loads(text)
            self.asked.append(frame)
            for answer in self.answers.get(frame["type"], nothing)(frame):
                await conn.send(answer.replace('"ID"', json.dumps(frame.get("id"))))

    def kinds(self) -> list[str]:
        return [frame["type"] for frame in self.asked]


@contextmanager
def fake() -> Iterator[Fake]:
    node = Fake()
    ready = threading.Event()
    loop = asyncio.new_event_loop()
    end = asyncio.Event()

    async def run() -> None:
        protocols = [Subprotocol("distributed-lock.v1")]
        async with serve(node.handle, "127.0.0.1", 0, subprotocols=protocols, close_timeout=0.1) as server:
            port = port_of(server)
            node.url = f"http://127.0.0.1:{port}"
            ready.set()
            await end.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()))
    thread.start()
    assert ready.wait(10)
    try:
        yield node
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join()
        loop.close()

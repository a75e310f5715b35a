"""Many at once through one client, and nothing is left of them."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
from pathlib import Path

import pytest

import distributed_lock_client as dl

from .kit import until

MANY = 500


def sockets() -> int:
    fds = Path("/proc/self/fd")
    count = 0
    for fd in list(fds.iterdir()):
        with contextlib.suppress(OSError):  # it was the listing's own
            count += str(fd.readlink()).startswith("socket:")
    return count


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="sockets are counted in /proc")
def test_500_threads(url: str, admin: dl.DistributedLockClient, name: str) -> None:
    admin.health()
    before = threading.active_count(), sockets()
    with dl.DistributedLockClient(url) as client:
        held = threading.Barrier(MANY + 1)
        go = threading.Event()
        turns: list[int] = []

        def work(n: int) -> None:
            with client.lock(f"{name}/{n}"):
                held.wait(30)
                go.wait(30)
            with client.lock(f"{name}/all/{n % 20}", wait_timeout=60) as lock:
                turns.append(lock.fencing_token)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(MANY)]
        for thread in threads:
            thread.start()
        held.wait(30)
        assert len(list(client.list_locks(name))) == MANY
        assert threading.active_count() <= before[0] + MANY + 5
        assert sockets() <= before[1] + 10  # a WebSocket, what the loop wakes by, and what the listing asked over
        go.set()
        for thread in threads:
            thread.join(60)
        assert len(turns) == MANY
        assert list(client.list_locks(name)) == []
    until(lambda: (threading.active_count(), sockets()) <= before)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="sockets are counted in /proc")
def test_500_tasks(url: str, name: str) -> None:
    before = threading.active_count(), sockets()

    async def main() -> None:
        async with dl.AsyncDistributedLockClient(url) as client:
            turns: list[int] = []
            held, go = asyncio.Semaphore(0), asyncio.Event()

            async def work(n: int) -> None:
                async with client.lock(f"{name}/{n}"):
                    held.release()
                    await go.wait()
                async with client.lock(f"{name}/all/{n % 20}", wait_timeout=60) as lock:
                    turns.append(lock.fencing_token)

            tasks = [asyncio.create_task(work(n)) for n in range(MANY)]
            for _ in tasks:
                await held.acquire()
            assert len([s async for s in client.list_locks(name)]) == MANY
            assert sockets() <= before[1] + 10
            go.set()
            await asyncio.gather(*tasks)
            assert len(turns) == MANY
        assert len(asyncio.all_tasks()) == 1
        gc.collect()
        timers = [o for o in gc.get_objects() if isinstance(o, asyncio.TimerHandle) and not o.cancelled()]
        assert timers == []

    asyncio.run(main())
    until(lambda: (threading.active_count(), sockets()) <= before)


def test_cancel_storm(url: str, admin: dl.DistributedLockClient, name: str) -> None:
    with dl.DistributedLockClient(url) as client:
        for i in range(10):
            first = client.acquire(f"{name}/{i}")
            tokens = [dl.CancelToken() for _ in range(20)]

            def wait(token: dl.CancelToken, lock: str = first.name) -> None:
                with contextlib.suppress(dl.WaitCancelledError):
                    client.acquire(lock, cancel=token).release()

            threads = [threading.Thread(target=wait, args=(t,)) for t in tokens]
            for thread in threads:
                thread.start()
            first.release()
            for token in tokens:
                token.cancel()
            for thread in threads:
                thread.join(10)
                assert not thread.is_alive()
        until(lambda: not list(admin.list_locks(name)))


def test_a_client_that_is_forgotten_ends(url: str, name: str) -> None:
    before = threading.active_count()
    client = dl.DistributedLockClient(url)
    client.acquire(name, timeout=0.5)
    del client
    gc.collect()
    until(lambda: threading.active_count() <= before)

"""Waits: what ends them, and what is left of them."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

import distributed_lock_client as dl

from .kit import soon, until


def waiting(client: dl.DistributedLockClient, name: str, length: int) -> None:
    until(lambda: client.status(name).queue_length == length)


def test_who_waits_gets_the_lock_by_its_release(client: dl.DistributedLockClient, name: str) -> None:
    first = client.acquire(name)
    got: list[dl.Lock] = []
    places: list[dl.Place] = []
    thread = threading.Thread(target=lambda: got.append(client.acquire(name, on_queued=places.append)))
    thread.start()
    waiting(client, name, 1)
    first.release()
    thread.join(10)
    assert got[0].fencing_token > first.fencing_token
    assert got[0].waited > 0
    assert places[0].position == 1
    assert places[0].holders[0].fencing_token == first.fencing_token


def test_a_wait_that_runs_out(client: dl.DistributedLockClient, name: str) -> None:
    with client.lock(name, owner="one"):
        begin = time.monotonic()
        with pytest.raises(dl.LockTimeoutError) as caught:
            client.acquire(name, wait_timeout=0.3, owner="two")
        assert 0.25 < time.monotonic() - begin < 5
        error = caught.value
        assert isinstance(error, TimeoutError)
        assert not isinstance(error, dl.LockHeldError)
        assert error.holders[0].owner_id == "one"
        assert error.wait_time >= 0.25
        assert error.request_id
        assert error.lock_name == name
        assert client.try_lock(name, owner="two") is None
        with pytest.raises(dl.LockHeldError) as held:
            client.acquire(name, wait_timeout=0, owner="two")
        assert held.value.code == "lock_held"
        assert name in str(held.value)
        assert client.status(name).queue_length == 0
    taken = client.try_lock(name)
    assert taken is not None
    taken.release()


def test_a_token_ends_a_wait_from_another_thread(client: dl.DistributedLockClient, name: str) -> None:
    with client.lock(name):
        token = dl.CancelToken()

        def cancel() -> None:
            waiting(client, name, 1)
            token.cancel()

        threading.Thread(target=cancel).start()
        with pytest.raises(dl.WaitCancelledError):
            client.acquire(name, wait_timeout=None, owner="other", cancel=token)
        waiting(client, name, 0)
        with pytest.raises(dl.WaitCancelledError):  # it is set for good
            client.acquire(f"{name}/free", cancel=token)
    until(lambda: not client.status(f"{name}/free").locked)


def test_an_interrupt_leaves_the_line(url: str, client: dl.DistributedLockClient, name: str) -> None:
    """Ctrl-C, in a process of its own: it ends at once, waits no more, and works on."""
    program = f"""
import sys, distributed_lock_client as dl
client = dl.DistributedLockClient({url!r})
try:
    print("waiting", flush=True)
    client.acquire({name!r}, wait_timeout=None)
except KeyboardInterrupt:
    print("interrupted", flush=True)
with client.lock({name!r} + "/other"):
    print("works", flush=True)
sys.stdin.read()
"""
    with client.lock(name), python(program) as child:
        assert child.stdin
        waiting(client, name, 1)
        child.send_signal(signal.SIGINT)
        waiting(client, name, 0)
        child.stdin.close()
        assert child.wait(10) == 0
        assert child.stdout
        assert child.stdout.read().split() == ["waiting", "interrupted", "works"]


def python(program: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": "src"},
    )


def test_what_crosses_an_interrupt_goes_back(client: dl.DistributedLockClient, name: str) -> None:
    """A callback that raises stands for whatever interrupts the thread, while the grant is on its way."""

    class Interrupt(BaseException):
        pass

    for i in range(20):
        lock = f"{name}/{i}"
        first = client.acquire(lock, owner="first")

        def queued(_: dl.Place, first: dl.Lock = first) -> None:
            first.release()
            raise Interrupt

        with pytest.raises(Interrupt):
            client.acquire(lock, on_queued=queued)
    until(lambda: not list(client.list_locks(name)))


def test_cancelled_tasks_leave_the_line(url: str, name: str) -> None:
    async def main() -> None:
        async with dl.AsyncDistributedLockClient(url) as client:
            first = await client.acquire(name)
            tasks = [asyncio.create_task(client.acquire(name)) for _ in range(50)]

            async def length(wanted: int) -> None:
                while (await client.status(name)).queue_length != wanted:
                    await asyncio.sleep(0.005)

            await length(50)
            for task in tasks[::2]:
                task.cancel()
            await length(25)
            await first.release()  # and the others are cancelled while the line moves
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            for lock in results:
                if isinstance(lock, dl.AsyncLock):
                    await lock.release()
            await length(0)
            while (await client.status(name)).locked:
                await asyncio.sleep(0.005)

    asyncio.run(asyncio.wait_for(main(), 20))


def test_a_timeout_of_the_callers_own(url: str, name: str) -> None:
    async def main() -> None:
        async with dl.AsyncDistributedLockClient(url) as client, client.lock(name):
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(client.acquire(name, wait_timeout=None, owner="other"), 0.1)
            while (await client.status(name)).queue_length:
                await asyncio.sleep(0.005)

    asyncio.run(asyncio.wait_for(main(), 10))


def test_close_ends_waits_and_gives_back(url: str, admin: dl.DistributedLockClient, name: str) -> None:
    client = dl.DistributedLockClient(url)
    held = client.acquire(name)
    errors: list[BaseException] = []

    def wait() -> None:
        try:
            client.acquire(name)
        except dl.LockError as error:
            errors.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    waiting(admin, name, 1)
    client.close()
    client.close()
    thread.join(10)
    assert [type(e) for e in errors] == [dl.ClientClosedError]
    assert not admin.status(name).locked
    held.release()  # it was given back
    for call in (lambda: client.acquire(name), lambda: client.status(name), lambda: next(iter(client.subscribe()))):
        with pytest.raises(dl.ClientClosedError):
            call()


def test_an_async_close(url: str, admin: dl.DistributedLockClient, name: str) -> None:
    async def main() -> None:
        client = dl.AsyncDistributedLockClient(url)
        await client.acquire(name)
        task = asyncio.create_task(client.acquire(name))
        while (await client.status(name)).queue_length != 1:
            await asyncio.sleep(0.005)
        await client.close()
        await client.close()
        with pytest.raises(dl.ClientClosedError):
            await task
        with pytest.raises(dl.ClientClosedError):
            await client.acquire(name)
        await soon(lambda: len(asyncio.all_tasks()) == 1)

    asyncio.run(main())
    assert not admin.status(name).locked


# A loop that ends takes the connection with it, which Python tells of: that is the caller's.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_one_async_client_in_several_loops(url: str, name: str) -> None:
    client = dl.AsyncDistributedLockClient(url)

    async def once() -> int:
        async with client.lock(name) as lock:
            return lock.fencing_token

    async def end() -> None:
        assert await once()
        await client.close()

    first = asyncio.run(once())
    assert asyncio.run(once()) > first
    asyncio.run(end())
    gc.collect()

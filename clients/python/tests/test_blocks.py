"""with, async with and decorators: on success, on an exception, on loss."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta

import pytest

import distributed_lock_client as dl

from .kit import soon, until


def test_a_block_holds_the_lock_and_no_longer(client: dl.DistributedLockClient, name: str) -> None:
    with client.lock(name, timeout=timedelta(seconds=30), metadata={"job": "nightly"}) as lock:
        assert lock.held
        assert not lock.lost
        assert 29 < lock.expires_in < 30.001
        status = client.status(name)
        assert status.holder is not None
        assert status.holder.fencing_token == lock.fencing_token
        assert status.holder.metadata == {"job": "nightly"}
    assert not lock.held
    assert not lock.lost
    with pytest.raises(dl.LockReleasedError):
        lock.ensure_held()
    assert not client.status(name).locked


def test_a_blocks_exception_passes_and_releases(client: dl.DistributedLockClient, name: str) -> None:
    with pytest.raises(KeyError, match="mine"), client.lock(name):
        raise KeyError("mine")
    assert not client.status(name).locked


def test_a_block_whose_lock_was_taken_says_so(
    client: dl.DistributedLockClient, admin: dl.DistributedLockClient, name: str
) -> None:
    told = threading.Event()
    with pytest.raises(dl.LockLostError, match="an admin took it") as caught:
        with client.lock(name, on_lost=lambda _: told.set()) as lock:
            admin.force_release(name, "for the test")
            assert lock.wait_lost(5)
            assert told.wait(5)
            assert lock.lost
            with pytest.raises(dl.LockLostError):
                lock.ensure_held()
            with pytest.raises(dl.LockLostError):
                lock.renew()
    assert caught.value.lock_name == name
    with pytest.raises(KeyError, match="mine"):  # what the block raised counts more
        with client.lock(name):
            admin.force_release(name, "for the test")
            raise KeyError("mine")


def test_a_lease_that_ends_is_told_before(client: dl.DistributedLockClient, name: str) -> None:
    lost: list[float] = []
    lock = client.acquire(name, timeout=0.5, on_lost=lambda one: lost.append(one.expires_in))
    assert lock.wait_lost(5)
    assert lock.expires_in > 0
    until(lambda: lost)
    assert isinstance(lock.loss, dl.LockLostError)
    with pytest.raises(dl.LockLostError):
        lock.release()
    again: list[dl.Lock] = []
    lock.on_lost(again.append)  # at once, where it was lost before
    until(lambda: again == [lock])


def test_a_callback_that_blocks_keeps_no_other_from_being_called(client: dl.DistributedLockClient, name: str) -> None:
    stuck, free = threading.Event(), threading.Event()
    try:
        client.acquire(f"{name}/1", timeout=0.2, on_lost=lambda _: stuck.wait())
        client.acquire(f"{name}/2", timeout=0.3, on_lost=lambda _: free.set())
        assert free.wait(5)
    finally:
        stuck.set()


def test_wait_lost_ends_with_its_time_and_with_the_release(client: dl.DistributedLockClient, name: str) -> None:
    lock = client.acquire(name)
    assert lock.wait_lost(0.01) is False
    threading.Timer(0.05, lock.release).start()
    assert lock.wait_lost(10) is False
    assert not lock.held


def test_a_context_is_used_again_but_not_inside_of_itself(client: dl.DistributedLockClient, name: str) -> None:
    context = client.lock(name)
    with context as first, pytest.raises(RuntimeError, match="re-entrant"), context:
        pass
    with context as second:
        assert second.fencing_token > first.fencing_token


def test_renewing_moves_the_end(client: dl.DistributedLockClient, name: str) -> None:
    with client.lock(name, timeout=5) as lock:
        lock.renew(60)
        assert 50 < lock.expires_in <= 60
        lock.renew(timedelta(seconds=2))
        assert lock.expires_in <= 2
        renewal = client.renew(name, lock.renewal_token, 40)
        assert 39 < renewal.ttl <= 40
        assert renewal.fencing_token == lock.fencing_token


def test_automatic_renewal_outlives_the_lease(client: dl.DistributedLockClient, name: str) -> None:
    with client.lock(name, timeout=0.4, auto_renew=True) as lock:
        assert not lock.wait_lost(1.5)
        assert lock.held
    assert not client.status(name).locked


def test_a_function_under_a_lock(client: dl.DistributedLockClient, name: str) -> None:
    @client.locked(lambda key, *, more=0: f"{name}/{key}")
    def work(key: str, *, more: int = 0) -> tuple[str, bool]:
        """Its own words."""
        return key, client.status(f"{name}/{key}").locked

    assert work("a", more=1) == ("a", True)
    assert work.__doc__ == "Its own words."
    assert not client.status(f"{name}/a").locked

    async def never() -> None: ...

    with pytest.raises(TypeError):
        client.locked("x")(never)


def test_a_repr_tells_no_secret(client: dl.DistributedLockClient, name: str) -> None:
    with client.lock(name) as lock:
        for text in (repr(lock), str(lock), repr(vars(lock).get("_lease"))):
            assert lock.lock_id not in text
            assert lock.renewal_token not in text
    with dl.DistributedLockClient("http://127.0.0.1:1", token="a-secret") as other:
        assert "a-secret" not in repr(other) + repr(vars(other))


def test_an_async_block(url: str, name: str) -> None:
    async def main() -> None:
        async with dl.AsyncDistributedLockClient(url) as client:
            async with client.lock(name) as lock:
                assert lock.held
                assert (await client.status(name)).locked
            assert not (await client.status(name)).locked
            with pytest.raises(KeyError):
                async with client.lock(name):
                    raise KeyError
            assert not (await client.status(name)).locked
            assert [s async for s in client.list_locks(name)] == []

            @client.locked(name)
            async def work(more: int) -> int:
                assert (await client.status(name)).locked
                return more

            assert await work(3) == 3

    asyncio.run(main())


def test_an_async_block_is_cancelled_on_loss(url: str, admin: dl.DistributedLockClient, name: str) -> None:
    async def main() -> None:
        async with dl.AsyncDistributedLockClient(url) as client:
            told: list[dl.AsyncLock] = []
            reached = False
            with pytest.raises(dl.LockLostError):
                async with client.lock(name, on_lost=told.append) as lock:
                    await asyncio.to_thread(admin.force_release, name, "for the test")
                    await asyncio.sleep(30)
                    reached = True
            assert not reached
            assert lock.lost
            await soon(lambda: told == [lock])
            task = asyncio.current_task()
            assert task is not None
            if hasattr(task, "cancelling"):
                assert task.cancelling() == 0
            await asyncio.sleep(0)  # and no cancelling is left over
            assert await (await client.acquire(name, timeout=0.2)).wait_lost(5)

    asyncio.run(main())


def test_a_loss_that_the_body_finds_itself(url: str, name: str) -> None:
    async def main() -> None:
        async with dl.AsyncDistributedLockClient(url) as client:
            with pytest.raises(dl.LockLostError):
                async with client.lock(name, timeout=0.1) as lock:
                    while lock.held:
                        pass  # the loop cannot tell
                    lock.ensure_held()
            await asyncio.sleep(0)
            await asyncio.sleep(0.01)

    asyncio.run(main())


def test_cancelling_from_outside_stays_a_cancelling(url: str, name: str) -> None:
    async def main() -> None:
        async with dl.AsyncDistributedLockClient(url) as client:
            inside = asyncio.Event()

            async def work() -> None:
                async with client.lock(name):
                    inside.set()
                    await asyncio.sleep(30)

            task = asyncio.create_task(work())
            await inside.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            status = await client.status(name)
            assert not status.locked

    asyncio.run(main())


def test_a_release_that_is_cancelled_goes_on_behind(url: str, name: str) -> None:
    async def main() -> None:
        async with dl.AsyncDistributedLockClient(url) as client:
            lock = await client.acquire(name)
            task = asyncio.create_task(lock.release())
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            while (await client.status(name)).locked:
                await asyncio.sleep(0.005)

    asyncio.run(asyncio.wait_for(main(), 10))

"""Who acquires: threads, tasks, and who was named."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import distributed_lock_client as dl


def test_a_thread_is_an_owner(client: dl.DistributedLockClient, name: str) -> None:
    with client.lock(name) as lock:
        with client.lock(f"{name}/2") as inner:
            assert inner.owner_id == lock.owner_id
        with pytest.raises(dl.DeadlockError) as caught:
            client.acquire(name, wait_timeout=20)
        assert [(s.holds, s.waits_for) for s in caught.value.cycle] == [(name, name)]
        with ThreadPoolExecutor(1) as pool:
            other = pool.submit(lambda: client.acquire(f"{name}/3")).result(10)
            assert other.owner_id != lock.owner_id
            with pytest.raises(dl.LockTimeoutError):
                pool.submit(lambda: client.acquire(name, wait_timeout=0.2)).result(10)


def test_an_owner_by_name(client: dl.DistributedLockClient, name: str) -> None:
    with dl.lock_owner("task-7"):
        assert client.acquire(name).owner_id == "task-7"
        assert client.acquire(f"{name}/2", owner="task-8").owner_id == "task-8"
        with dl.lock_owner("task-9"):
            assert client.acquire(f"{name}/3").owner_id == "task-9"
        with pytest.raises(dl.DeadlockError):
            client.acquire(name, wait_timeout=20)
    assert client.acquire(f"{name}/4").owner_id not in {"task-7", "task-8", "task-9"}


def test_a_circle_of_two_threads(client: dl.DistributedLockClient, name: str) -> None:
    both = threading.Barrier(2)

    def work(first: str, second: str) -> str:
        with client.lock(f"{name}/{first}"):
            both.wait(10)
            try:
                with client.lock(f"{name}/{second}", wait_timeout=20):
                    return "got it"
            except dl.DeadlockError as error:
                assert len(error.cycle) == 2
                return "deadlock"

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(work, ("a", "b"), ("b", "a")))
    assert sorted(results) == ["deadlock", "got it"]


def test_tasks_are_owners_and_their_children_are_others(url: str, name: str) -> None:
    async def main() -> None:
        async with dl.AsyncDistributedLockClient(url) as client:

            async def owner(n: str) -> str:
                async with client.lock(f"{name}/{n}") as lock:
                    return lock.owner_id

            mine = await owner("0")
            assert mine == await owner("1")
            children = await asyncio.gather(owner("2"), owner("3"))
            assert len({mine, *children}) == 3
            async with client.lock(name):
                with pytest.raises(dl.DeadlockError):
                    await client.acquire(name)
                with pytest.raises(dl.LockTimeoutError):
                    await asyncio.create_task(client.acquire(name, wait_timeout=0.2))
            with dl.lock_owner("job"):
                assert set(await asyncio.gather(owner("4"), owner("5"))) == {"job"}

                def inside() -> str:
                    with dl.DistributedLockClient(url) as other:
                        return other.acquire(f"{name}/6").owner_id

                assert await asyncio.to_thread(inside) == "job"

    asyncio.run(main())

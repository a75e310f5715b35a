"""Work ends when its lock is lost: a task is cancelled, a thread looks, a child process is terminated.

python stop_on_loss.py [URL]
"""

import asyncio
import subprocess
import sys
import time

from distributed_lock_client import AsyncDistributedLockClient, DistributedLockClient, LockLostError


async def task(url: str) -> None:
    async with AsyncDistributedLockClient(url) as client:
        try:
            async with client.lock("a-task", timeout=0.3):
                await asyncio.sleep(60)  # cancelled in time
        except LockLostError as error:
            print(f"task: {error}")


def thread(url: str) -> None:
    with DistributedLockClient(url) as client:
        try:
            with client.lock("a-thread", timeout=0.3) as lock:
                while lock.held:
                    time.sleep(0.01)  # a piece of work
        except LockLostError as error:
            print(f"thread: {error}")


def process(url: str) -> None:
    with DistributedLockClient(url) as client, subprocess.Popen([sys.executable, "-c", "input()"], stdin=-1) as child:
        client.acquire("a-process", timeout=0.3, on_lost=lambda _lock: child.terminate())
        print(f"process: ended with {child.wait()}")


def main(url: str = "http://localhost:5000") -> None:
    asyncio.run(task(url))
    thread(url)
    process(url)


if __name__ == "__main__":
    main(*sys.argv[1:])

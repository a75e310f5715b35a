"""At most three workers of all machines use the database at once: a lock with three permits.

python resource_pool.py [URL]
"""

import asyncio
import sys

from distributed_lock_client import AsyncDistributedLockClient


async def main(url: str = "http://localhost:5000") -> None:
    busy = most = 0
    async with AsyncDistributedLockClient(url) as client:

        async def work(number: int) -> None:
            nonlocal busy, most
            async with client.lock("db-pool", limit=3, metadata={"worker": number}):
                busy += 1
                most = max(most, busy)
                await asyncio.sleep(0.01)
                busy -= 1

        await asyncio.gather(*(work(n) for n in range(12)))
    print(f"at most {most} at once")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

"""Only one instance at a time works for a user, whichever of them the request came to.

python mutual_exclusion.py [URL]
"""

import sys
from concurrent.futures import ThreadPoolExecutor

from distributed_lock_client import DistributedLockClient


def main(url: str = "http://localhost:5000") -> None:
    balances = {"ann": 0, "bob": 0}
    with DistributedLockClient(url) as client:

        @client.locked(lambda user, _amount: f"user:{user}", timeout=10)
        def deposit(user: str, amount: int) -> None:
            before = balances[user]
            balances[user] = before + amount  # nobody came between

        with ThreadPoolExecutor(8) as pool:
            for i in range(40):
                pool.submit(deposit, "ann" if i % 2 else "bob", 1)
    print(balances)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""One of many instances leads for as long as it can; the others follow until it is gone.

python leader_election.py [URL]
"""

import sys

from distributed_lock_client import DistributedLockClient, Lock, LockLostError, LockTimeoutError


def lead(lock: Lock, terms: int) -> None:
    for term in range(terms):
        lock.ensure_held()  # a leader that lost its lock must not go on
        print(f"leading, term {term}, fencing token {lock.fencing_token}")


def main(url: str = "http://localhost:5000") -> None:
    with DistributedLockClient(url) as client:
        try:
            with client.lock("leader", timeout=60, wait_timeout=5, auto_renew=True) as lock:
                lead(lock, terms=3)
        except LockTimeoutError as error:
            print(f"following {error.holders[0].client_id}")
        except LockLostError as error:
            print(f"leading no more: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])

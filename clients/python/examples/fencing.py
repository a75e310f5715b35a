"""What a lock protects refuses whoever lost it without noticing: it remembers the highest fencing token.

python fencing.py [URL]
"""

import sys

from distributed_lock_client import DistributedLockClient


class Storage:
    """Takes writes of the newest holder alone."""

    def __init__(self) -> None:
        self.text = ""
        self.highest = 0

    def write(self, text: str, fencing_token: int) -> bool:
        if fencing_token < self.highest:
            return False
        self.text, self.highest = text, fencing_token
        return True


def main(url: str = "http://localhost:5000") -> None:
    storage = Storage()
    with DistributedLockClient(url) as client:
        with client.lock("report") as old:
            pass  # it hangs here, let us say, until its lease is over
        with client.lock("report") as new:
            print("new:", storage.write("by the new holder", new.fencing_token))
        print("old:", storage.write("by the old holder", old.fencing_token))
    print(storage.text)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Locks of the distributed lock service: waited for by push over one WebSocket, renewed, fenced, and told when lost.

>>> from distributed_lock_client import DistributedLockClient
>>> client = DistributedLockClient("http://localhost:5000")  # doctest: +SKIP
>>> with client.lock("user:123", timeout=30) as lock:  # doctest: +SKIP
...     print(f"Lock acquired: {lock.lock_id}")

Durations are seconds, as numbers or ``timedelta``. What a call can fail with::

    LockError
    ├── LockTimeoutError (a TimeoutError)   the lock did not come free within the wait
    │   └── LockHeldError                   somebody holds it, and the call does not wait
    ├── DeadlockError                       failed to break a deadlock, told in .cycle
    ├── LockLostError                       no longer held: the lease ran out, or it was taken
    ├── LockReleasedError                   released here, and used all the same
    ├── NotOwnerError                       another client's, or another process's
    ├── NotLockedError                      nothing to force
    ├── LimitMismatchError                  in use with another limit, told in .limit
    ├── RequestMismatchError                the request id belongs to another request
    ├── InvalidArgumentError (a ValueError) not allowed, told in .fields; nothing was done
    ├── TooLargeError                       more than 64 KiB
    ├── UnauthorizedError                   no token, or a wrong one
    ├── ForbiddenError                      the token does not allow it
    ├── QueueFullError                      as many wait as may
    ├── RateLimitedError                    the node takes no more requests for now
    ├── LockServiceUnavailable              no endpoint can be reached, or none can do it now
    ├── OutcomeUnknownError                 not known whether it was done
    ├── WaitCancelledError                  ended by its CancelToken
    └── ClientClosedError                   the client was closed

Connections that break are told to the logger ``distributed_lock_client``, at level INFO.
"""

import logging

from .aio import AsyncDistributedLockClient
from .aiolocks import AsyncLock, AsyncLockContext
from .client import DistributedLockClient
from .engine import CancelToken
from .errors import (
    ClientClosedError,
    DeadlockError,
    ForbiddenError,
    InvalidArgumentError,
    LimitMismatchError,
    LockError,
    LockHeldError,
    LockLostError,
    LockReleasedError,
    LockServiceUnavailable,
    LockTimeoutError,
    NotLockedError,
    NotOwnerError,
    OutcomeUnknownError,
    QueueFullError,
    RateLimitedError,
    RequestMismatchError,
    TooLargeError,
    UnauthorizedError,
    WaitCancelledError,
)
from .events import AsyncSubscription, Subscription
from .locks import Lock, LockContext
from .model import (
    CycleStep,
    Edge,
    Event,
    FieldError,
    Graph,
    Health,
    Holder,
    Owner,
    Place,
    Renewal,
    Stats,
    Status,
    Waiter,
)
from .owner import lock_owner

__all__ = [
    "AsyncDistributedLockClient",
    "AsyncLock",
    "AsyncLockContext",
    "AsyncSubscription",
    "CancelToken",
    "ClientClosedError",
    "CycleStep",
    "DeadlockError",
    "DistributedLockClient",
    "Edge",
    "Event",
    "FieldError",
    "ForbiddenError",
    "Graph",
    "Health",
    "Holder",
    "InvalidArgumentError",
    "LimitMismatchError",
    "Lock",
    "LockContext",
    "LockError",
    "LockHeldError",
    "LockLostError",
    "LockReleasedError",
    "LockServiceUnavailable",
    "LockTimeoutError",
    "NotLockedError",
    "NotOwnerError",
    "OutcomeUnknownError",
    "Owner",
    "Place",
    "QueueFullError",
    "RateLimitedError",
    "Renewal",
    "RequestMismatchError",
    "Stats",
    "Status",
    "Subscription",
    "TooLargeError",
    "UnauthorizedError",
    "WaitCancelledError",
    "Waiter",
    "lock_owner",
]
__version__ = "1.0.0"

logging.getLogger(__name__).addHandler(logging.NullHandler())

"""What all tests share."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from distributed_lock_client import DistributedLockClient

VECTORS = Path(__file__).parents[2] / "conformance" / "vectors"


@pytest.fixture
def url() -> str:
    """The address of a real service."""
    address = os.environ.get("LOCKD_URL")
    if not address:
        if os.environ.get("CI") == "true":
            pytest.fail("LOCKD_URL is not set: these tests need a service (scripts/withlockd -- …)")
        pytest.skip("NO SERVICE: set LOCKD_URL, or run scripts/withlockd -- python -m pytest")
    return address


@pytest.fixture
def admin(url: str) -> Iterator[DistributedLockClient]:
    """A client that may take locks away, and looks at them."""
    with DistributedLockClient(url, token=os.environ.get("LOCKD_ADMIN_TOKEN"), client_id="admin") as client:
        yield client


@pytest.fixture
def client(url: str) -> Iterator[DistributedLockClient]:
    with DistributedLockClient(url) as one:
        yield one


@pytest.fixture
def name() -> str:
    """A lock that nobody else uses."""
    return f"test/{uuid.uuid4().hex}"

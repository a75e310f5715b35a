"""A forked child is a client of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

import distributed_lock_client as dl

PROGRAM = """
import gc, json, os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)
import distributed_lock_client as dl

url, name = sys.argv[1:]
client = dl.DistributedLockClient(url, client_id="parent")
lock = client.acquire(name, auto_renew=True)
client.status(name)
read, write = os.pipe()
child = os.fork()
if child == 0:
    told = {"held": lock.held, "lost": lock.lost, "repr": repr(lock), "id": client.client_id}
    for what in (lock.release, lock.ensure_held, lock.renew):
        try:
            what()
        except dl.NotOwnerError:
            told[what.__name__] = "NotOwnerError"
    told["try"] = client.try_lock(name) is None
    try:
        client.acquire(name, wait_timeout=0.2)
    except dl.LockTimeoutError as error:
        told["kind"] = type(error).__name__
    with client.lock(name + "/child") as own:
        told["own"] = own.held
        told["owner"] = own.owner_id
    client.close()
    gc.collect()
    os.write(write, json.dumps(told).encode())
    os._exit(0)
os.waitpid(child, 0)
told = json.loads(os.read(read, 65536))
told |= {"parent": lock.held, "locked": client.status(name).locked, "another": told["owner"] != lock.owner_id}
lock.renew()
lock.release()
told["after"] = client.status(name).locked
client.close()
print(json.dumps(told))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_fork(url: str, name: str) -> None:
    told: dict[str, Any] = json.loads(run(PROGRAM, url, name))
    assert told.pop("id") not in {"parent", ""}
    assert name in told.pop("repr")
    assert told.pop("owner")
    assert told == {
        "held": False,
        "lost": False,
        "release": "NotOwnerError",
        "ensure_held": "NotOwnerError",
        "renew": "NotOwnerError",
        "try": True,
        "kind": "LockTimeoutError",
        "own": True,
        "parent": True,
        "locked": True,
        "another": True,
        "after": False,
    }


ORPHAN = """
import os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)
import distributed_lock_client as dl

url, name = sys.argv[1:]
client = dl.DistributedLockClient(url)
client.acquire(name + "/warm").release()
child = os.fork()
if child == 0:
    sys.stdin.read()  # lives on, and must not hold the parent's connection open
    os._exit(0)
client.acquire(name, wait_timeout=None, owner="waiter", on_queued=lambda _: os._exit(0))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_child_keeps_no_connection_of_its_parents(url: str, client: dl.DistributedLockClient, name: str) -> None:
    with client.subscribe(name, ["dequeued"]) as events, client.lock(name):
        with client.subscribe(name + "/probe") as probe:  # both are known by then
            while client.try_lock(name + "/probe", timeout=0.1) is None:
                pass
            next(probe)
        with program(ORPHAN, url, name) as parent:
            assert parent.wait(20) == 0
            assert next(events).reason == "away"
            assert parent.stdin
            parent.stdin.close()


def program(text: str, *args: str) -> subprocess.Popen[str]:
    env = {**os.environ, "PYTHONPATH": "src"}
    return subprocess.Popen(
        [sys.executable, "-c", text, *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
    )


def run(text: str, *args: str) -> str:
    with program(text, *args) as child:
        out, _ = child.communicate(timeout=30)
        assert child.returncode == 0
        return out

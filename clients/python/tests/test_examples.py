"""The examples run, and say what they should."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1]

SAYS = {
    "leader_election": "leading, term 2",
    "mutual_exclusion": "{'ann': 20, 'bob': 20}",
    "resource_pool": "at most 3 at once",
    "fencing": "old: False\nby the new holder",
    "stop_on_loss": "process: ended with -15",
}


def test_each_example_is_run() -> None:
    assert {p.stem for p in (FOLDER / "examples").glob("*.py")} == set(SAYS)


@pytest.mark.parametrize("example", SAYS)
def test_examples(url: str, example: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", FOLDER / "examples" / f"{example}.py", url],
        env={**os.environ, "PYTHONPATH": str(FOLDER / "src")},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert SAYS[example] in done.stdout
    assert not done.stderr

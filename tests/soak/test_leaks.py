"""Jobs and connections that are over leave nothing behind; and a leak would be seen."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from leaks import MOST_BYTES, complaints

ROOT = Path(__file__).parents[2]
BEFORE = {"rss": 30_000_000, "threads": 4, "fds": 8}


@pytest.mark.slow
def test_a_thousand_jobs_over_two_hundred_connections_leave_nothing_behind() -> None:
    command = [sys.executable, "-m", "tests.soak.leaks", "--jobs", "1000", "--reconnects", "200"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    measured = json.loads(done.stdout)
    assert measured["reconnects"] >= 200
    assert measured["grown_bytes"] < MOST_BYTES
    assert measured["complaints"] == []


@pytest.mark.parametrize(
    ("what", "more", "complaint"),
    [
        ("threads", 1, "1 threads too many"),
        ("fds", 2, "2 fds too many"),
        ("rss", MOST_BYTES, f"memory grew by {MOST_BYTES} bytes"),
    ],
)
def test_what_is_left_behind_is_named(what: str, more: int, complaint: str) -> None:
    assert complaints(BEFORE, BEFORE) == []
    assert complaints(BEFORE, BEFORE | {what: BEFORE[what] + more}) == [complaint]

"""The same search on every executor: equal configurations, seeds and failures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from every_search import END, START, UNPROTECTED

from hpdist.core.study.trial_table import TrialTable

SCRIPT = Path(__file__).with_name("every_search.py")
EXECUTORS = ["serial", "thread", "process", "loky", "dask", "ray", "mpi", "cluster", "folder"]
MPIEXEC = Path(sys.executable).with_name("mpiexec")


def command(executor: str, workers: int) -> list[str]:
    if executor != "mpi":
        return [sys.executable]
    return [str(MPIEXEC), "-n", str(workers + 1), sys.executable, "-m", "mpi4py.futures"]


def search(executor: str, workers: int, directory: Path) -> dict[str, Any]:
    """Run the search in a process of its own, as a user does."""
    arguments = [str(SCRIPT), executor, str(workers), str(directory / "run")]
    ended = subprocess.run(
        [*command(executor, workers), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=110,
        env={**os.environ, "RAY_DEDUP_LOGS": "0", "HOME": str(directory)},
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found


def expected() -> list[list[Any]]:
    """What each trial comes to: its number, configuration, seed as loss, or failure."""
    failures = {"raise": "exception", "nan": "invalid", "lock": "invalid"}
    failures |= {"exit": "crash", "slow": "timeout"}
    table = TrialTable(3, 1.0)
    rows = []
    for number, config in enumerate([*START, *END]):
        kind = config["kind"]
        loss = None if kind in failures else table.trial_seed(number)
        rows.append([number, kind, config["x"], loss, failures.get(kind)])
    return rows


@pytest.mark.parametrize(
    ("executor", "workers"),
    # one after another is what "serial" is for
    [
        pytest.param(name, count, marks=pytest.mark.slow if count == 1 and name != "serial" else ())
        for name in EXECUTORS
        for count in (1, 4)
        if (name, count) != ("serial", 4)
    ],
)
def test_the_same_search_comes_to_the_same(executor: str, workers: int, tmp_path: Path) -> None:
    found = search(executor, workers, tmp_path)
    assert found["reason"] == "finished"
    rows = expected()
    assert found["rows"] == (rows[: len(START)] if executor in UNPROTECTED else rows)

"""The same jobs with every evaluator that has processes: a death and an exception cost one job."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("every_evaluator.py")
MPIEXEC = [str(Path(sys.executable).with_name("mpiexec")), "-n", "3"]


@pytest.mark.parametrize(
    "method",
    [
        "process",
        *(pytest.param(each, marks=pytest.mark.slow) for each in ("loky", "dask", "ray")),
        *(pytest.param(each, marks=pytest.mark.slow) for each in ("mpicomm", "cluster")),
    ],
)
def test_jobs_come_to_the_same(method: str, tmp_path: Path) -> None:
    mpi = method == "mpicomm"
    command = [*(MPIEXEC if mpi else []), sys.executable, *(["-m", "mpi4py.futures"] * mpi)]
    ended = subprocess.run(
        [*command, str(SCRIPT), method],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=110,
        env={**os.environ, "HOME": str(tmp_path)},
        cwd=tmp_path,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr[-3000:]
    told, times = json.loads(ended.stdout.splitlines()[-1])
    assert told == [
        [0, "completed", 0.0],
        [1, "completed", -3.0],
        [2, "completed", -6.0],
        [3, "crash", "F_crash"],
        [4, "exception", "F_exception"],
    ]
    assert times == [True] * 3

"""Two hundred workers come at once."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpdist import Master, NameServer, Space
from hpdist.cluster.directory import Names, list_workers
from hpdist.core.journal.run_key import find_key
from hpdist.multi_fidelity import SingleFidelity
from hpdist.optimizers import RandomSearch

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).with_name("cluster_scripts") / "many_workers.py"
PROCESSES, THREADS = 4, 50
WORKERS = PROCESSES * THREADS
LIMIT_S = 90.0


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.timeout(180)
def test_two_hundred_workers_join_and_each_finishes_a_job(
    tmp_path: Path, processes: list[subprocess.Popen[bytes]]
) -> None:
    optimizer = RandomSearch(Space.of({"x": (0.0, 1.0)}))
    generator = SingleFidelity(num_configs=WORKERS)
    with (
        NameServer("many", tmp_path) as nameserver,
        Master("many", optimizer, generator, working_directory=tmp_path, nameserver=None) as master,
    ):
        master.wait_for_workers(0)
        began = time.monotonic()
        for _ in range(PROCESSES):
            processes.append(start(tmp_path))
        master.worker_timeout = LIMIT_S
        master.wait_for_workers(WORKERS)
        sys.stdout.write(f"{WORKERS} workers joined within {time.monotonic() - began:.1f} s\n")

        caller = threading.Thread(target=master.run)
        caller.start()
        until = time.monotonic() + LIMIT_S
        while len(master.dispatcher.service.running) < WORKERS:
            assert time.monotonic() < until
            time.sleep(0.05)
        master.dispatcher.discover_workers()
        with Names(*nameserver.start(), find_key("many", tmp_path / "many")) as names:
            states = Counter(e.metadata["state"] for e in list_workers(names, "many").values())
        assert states == {"busy": WORKERS}
        (tmp_path / "go").touch()
        caller.join(LIMIT_S)
        assert not caller.is_alive()
        evaluations = master.results().evaluations
    assert len({one.worker for one in evaluations}) == len(evaluations) == WORKERS
    assert {one.attempts for one in evaluations} == {1}
    assert [process.wait(LIMIT_S) for process in processes] == [0] * PROCESSES


def start(directory: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), str(THREADS)],
        cwd=directory,
        env={**os.environ, "HOME": str(directory / "home")},
    )

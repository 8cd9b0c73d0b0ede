"""Worker processes: restarted, given up, ended, and gone with whoever started them."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cli_scene import LIMIT_S, eventually, write

from hpdist.cluster import worker_processes
from hpdist.cluster.worker_processes import WorkerProcesses
from hpdist.core.model.errors import HpdistError

RUN = Path("r")
KEY = bytes(range(32))
WAITS = "def f(config): ..."

Made = Callable[..., tuple[WorkerProcesses, "queue.Queue[HpdistError]"]]


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Iterator[Made]:
    monkeypatch.setattr(worker_processes, "RESTART_DELAY_S", 0.01)
    made = []

    def begin(count: int, *arguments: str) -> tuple[WorkerProcesses, queue.Queue[HpdistError]]:
        ended: queue.Queue[HpdistError] = queue.Queue()
        processes = WorkerProcesses(count, [*arguments, "--run", str(RUN)], RUN)
        made.append(processes)
        processes.start(KEY, ended.put)
        return processes, ended

    yield begin
    for processes in made:
        processes.close()
        assert processes.pids == []


def waiting(processes: WorkerProcesses, count: int = 1) -> list[int]:
    """The processes, once all wait for a nameserver."""

    def all_wait() -> list[int]:
        logs = [processes.log(index) for index in range(count)]
        said = [log.read_text().count("waiting: ") if log.exists() else 0 for log in logs]
        return processes.pids if all(said) and len(processes.pids) == count else []

    pids: list[int] = eventually(all_wait, "workers that wait")
    return pids


@pytest.mark.slow
def test_a_worker_that_is_killed_is_started_again(make: Made) -> None:
    write("f.py", WAITS)
    processes, _ = make(1, "f.py:f")
    (pid,) = waiting(processes)
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: processes.pids not in ([], [pid]), "another process")


def test_a_worker_that_leaves_by_itself_is_not_started_again(make: Made) -> None:
    write("f.py", WAITS)
    processes, ended = make(1, "f.py:f")
    (pid,) = waiting(processes)
    os.kill(pid, signal.SIGTERM)
    eventually(lambda: processes.pids == [], "its end")
    assert ended.empty()


def test_workers_that_cannot_begin_are_given_up_with_the_end_of_their_log(make: Made) -> None:
    write("f.py", "")
    processes, ended = make(1, "f.py")
    error = ended.get(timeout=LIMIT_S)
    assert "given up: it ended 3 times with exit code 2" in error.what
    assert "no function that can be the objective" in error.cause
    assert "r/logs/worker-0.log" in error.do
    assert processes.log(0).read_text().count("no function that can be the objective") == 3


@pytest.mark.slow
def test_they_get_the_key_and_no_options_through_the_environment(
    make: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPDIST_NAMESERVER", "no-such-host.invalid:1")
    monkeypatch.setenv("HPDIST_KEY", "00" * 32)
    write("f.py", WAITS)
    processes, _ = make(1, "f.py:f")
    (pid,) = waiting(processes)
    for file in ("environ", "cmdline"):
        text = Path(f"/proc/{pid}/{file}").read_bytes()
        assert KEY.hex().encode() not in text
        assert b"HPDIST_" not in text
    assert not (RUN / "key").exists()


def test_they_leave_when_the_process_that_started_them_is_killed() -> None:
    write("f.py", WAITS)
    code = (
        "import time; from pathlib import Path\n"
        "from hpdist.cluster.worker_processes import WorkerProcesses\n"
        f"processes = WorkerProcesses(1, ['f.py:f', '--run', {str(RUN)!r}], Path({str(RUN)!r}))\n"
        f"processes.start({KEY!r}, print)\n"
        "time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], start_new_session=True) as parent:
        log = RUN / "logs" / "worker-0.log"
        eventually(lambda: log.exists() and "waiting: " in log.read_text(), "a worker that waits")
        found = Path(f"/proc/{parent.pid}/task").glob("*/children")
        (pid,) = [int(pid) for each in found for pid in each.read_text().split()]
        parent.kill()
    eventually(lambda: not lives(pid), "the end of the worker")

"""Searches in a shared folder: many processes, some of them killed, and no server."""

from __future__ import annotations

import collections
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from hpdist import Results, minimize
from hpdist.core.journal.reader import read_journal
from hpdist.core.model.errors import ConfigurationError, HpdistError, RunOver, TransportError
from hpdist.core.model.events import AttemptEnded, JobCreated, RunResumed
from hpdist.core.model.limits_and_timing import Timing
from hpdist.folder import run
from hpdist.folder.transport import FileServer, FolderChannel

SPACE = {"x": (0.0, 1.0)}
OPTIONS: dict[str, Any] = {"optimizer": "random", "isolation": "none"}

SCRIPT = """
import os, sys, time
from hpdist.folder import run

def objective(config):
    with open({log!r}, "a") as log:
        log.write(f"{{config['x']!r}} {{os.getpid()}}\\n")
    time.sleep(0.02)
    return config["x"]

if __name__ == "__main__":
    results = run(objective, {{"x": (0.0, 1.0)}}, {folder!r}, n_trials={trials},
                  optimizer="random", isolation="none")
    print(results.reason, len(results.to_frame()))
"""


def objective(config: dict[str, Any]) -> float:
    return float(config["x"])


def ends(folder: Path) -> collections.Counter[int]:
    """How often each job was brought to an end."""
    found: collections.Counter[int] = collections.Counter()
    for _, record in read_journal(folder / "journal").records:
        if isinstance(record, JobCreated):
            found[record.job.job_id] += 0
        elif isinstance(record, AttemptEnded) and record.final:
            found[record.job_id] += 1
    return found


def completed(results: Results) -> int:
    return int((results.to_frame()["state"] == "completed").sum())


def begin(place: Path, trials: int) -> subprocess.Popen[str]:
    script = place / "mine.py"
    script.write_text(
        SCRIPT.format(log=str(place / "log"), folder=str(place / "run"), trials=trials)
    )
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, str(script)], stdout=pipe, stderr=pipe, text=True)


def leader_of(folder: Path) -> int:
    """Wait until somebody holds the folder and evaluations have begun; return its process id."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if (folder.parent / "log").exists():
            (heartbeat, *_) = sorted((folder / "terms").glob("*.heartbeat"), reverse=True)
            found = json.loads(heartbeat.read_bytes())
            return int(found["process"][1])
        time.sleep(0.01)
    raise AssertionError("nobody came")


def test_one_process_alone_comes_to_an_end_and_says_the_same_again(tmp_path: Path) -> None:
    results = run(objective, SPACE, tmp_path / "run", n_trials=7, **OPTIONS)
    assert (results.reason, len(results.to_frame())) == ("finished", 7)
    again = run(objective, SPACE, tmp_path / "run", n_trials=7, **OPTIONS)
    assert again.to_frame().equals(results.to_frame())
    assert list((tmp_path / "run" / "messages").iterdir()) == []


def test_it_is_extended_by_who_asks_for_more(tmp_path: Path) -> None:
    run(objective, SPACE, tmp_path / "run", n_trials=3, **OPTIONS)
    results = run(objective, SPACE, tmp_path / "run", n_trials=5, **OPTIONS)
    assert len(results.to_frame()) == 5
    assert set(ends(tmp_path / "run").values()) == {1}


def test_the_search_is_the_same_as_elsewhere(tmp_path: Path) -> None:
    folder = run(objective, SPACE, tmp_path / "a", n_trials=9, seed=4, **OPTIONS)
    serial = minimize(
        objective, SPACE, n_trials=9, seed=4, optimizer="random", executor="serial",
        run=tmp_path / "b", progress="none",
    )  # fmt: skip
    columns = ["trial", "config.x", "loss"]
    frames = [each.to_frame().sort_values("trial")[columns] for each in (folder, serial)]
    assert frames[0].to_csv() == frames[1].to_csv()


def test_enough_for_one_process_is_not_the_end_of_the_search(tmp_path: Path) -> None:
    options = {"n_trials": 8, **OPTIONS}
    first = run(objective, SPACE, tmp_path / "run", max_evaluations_per_run=3, **options)
    assert completed(first) == 3
    assert first.reason != "finished"
    second = run(objective, SPACE, tmp_path / "run", **options)
    assert (second.reason, completed(second)) == ("finished", 8)
    assert set(ends(tmp_path / "run").values()) == {1}


def test_processes_share_the_work_and_a_killed_leader_is_followed(tmp_path: Path) -> None:
    processes = [begin(tmp_path, 150) for _ in range(3)]
    leader = leader_of(tmp_path / "run")
    os.kill(leader, signal.SIGKILL)
    found = [each.communicate(timeout=100)[0] for each in processes]
    assert sorted(found) == ["", "finished 150\n", "finished 150\n"]
    counts = ends(tmp_path / "run")
    assert len(counts) == 150
    assert set(counts.values()) == {1}
    records = [record for _, record in read_journal(tmp_path / "run" / "journal").records]
    assert sum(isinstance(each, RunResumed) for each in records) == 2
    evaluated = {line.split()[0] for line in (tmp_path / "log").read_text().splitlines()}
    created = {
        repr(each.trial.config["x"])
        for each in records
        if isinstance(each, JobCreated) and each.trial is not None
    }
    assert evaluated == created
    workers = {line.split()[1] for line in (tmp_path / "log").read_text().splitlines()}
    assert len(workers) >= 2, "the killed one may not have come to an evaluation"


@pytest.mark.slow
def test_a_leader_that_stood_still_does_no_harm_when_it_wakes(tmp_path: Path) -> None:
    processes = [begin(tmp_path, 150) for _ in range(3)]
    leader = leader_of(tmp_path / "run")
    os.kill(leader, signal.SIGSTOP)
    until = time.monotonic() + 60
    while not (tmp_path / "run" / "terms" / "2.heartbeat").exists():
        assert time.monotonic() < until
        time.sleep(0.01)
    os.kill(leader, signal.SIGCONT)
    found = [each.communicate(timeout=100) for each in processes]
    assert [out for out, _ in found] == ["finished 150\n"] * 3
    assert not any("Traceback" in told for _, told in found), found
    counts = ends(tmp_path / "run")
    assert (len(counts), set(counts.values())) == (150, {1})


@pytest.mark.slow
def test_an_interrupt_hands_back_what_runs(tmp_path: Path) -> None:
    first = begin(tmp_path, 40)
    leader_of(tmp_path / "run")
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=60)
    assert first.returncode != 0
    second = begin(tmp_path, 40)
    assert second.communicate(timeout=60)[0] == "finished 40\n"
    assert set(ends(tmp_path / "run").values()) == {1}


def test_locks_that_are_missing_or_slow_are_not_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = threading.Event()
    real = fcntl.flock

    def flock(fd: int, how: int) -> None:
        slow.wait(0.2)
        if how & fcntl.LOCK_SH:
            raise OSError(37, "no locks here")
        real(fd, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    results = run(objective, SPACE, tmp_path / "run", n_trials=5, **OPTIONS)
    assert completed(results) == 5


def test_what_cannot_be_resumed_is_found_by_who_asks(tmp_path: Path) -> None:
    run(objective, SPACE, tmp_path / "run", n_trials=3, **OPTIONS)
    with pytest.raises(HpdistError, match="space differs"):
        run(objective, {"x": (0.0, 2.0)}, tmp_path / "run", n_trials=3, **OPTIONS)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"workers": 0}, "workers"),
        ({"max_evaluations_per_run": 0}, "max_evaluations_per_run"),
        ({"isolation": "none", "job_timeout": 1.0}, "isolation"),
        ({"min_budget": 1}, "both"),
    ],
)
def test_bad_input_leaves_nothing_behind(
    wrong: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        run(objective, SPACE, tmp_path / "run", n_trials=3, **wrong)
    assert not (tmp_path / "run").exists()


def test_a_plain_search_keeps_out_of_a_folder_that_is_in_use(tmp_path: Path) -> None:
    first = begin(tmp_path, 400)
    leader_of(tmp_path / "run")
    with pytest.raises(HpdistError, match="lock"):
        minimize(
            objective, SPACE, n_trials=3, run=tmp_path / "run", progress="none",
            optimizer="random", on_change="continue",
        )  # fmt: skip
    first.kill()
    first.communicate()


# ------------------------------------------------------- requests and responses


def test_torn_and_foreign_files_are_passed_over(tmp_path: Path) -> None:
    asked: list[dict[str, Any]] = []
    heard = threading.Event()

    def exchange(message: dict[str, Any]) -> dict[str, Any]:
        asked.append(message)
        heard.set()
        return {"kind": "ok"}

    server = FileServer(tmp_path, exchange)
    for name, data in {
        "a.0.request": b"{",
        "b.0.request": b"[1]",
        "c.0.request": b"\xff",
        "d.txt": b"",
    }.items():
        (tmp_path / name).write_bytes(data)
    server.start()
    (tmp_path / "tmp").write_text(json.dumps({"id": "7", "message": {"kind": "register"}}))
    os.replace(tmp_path / "tmp", tmp_path / "e.0.request")
    assert heard.wait(30)
    server.close()
    assert asked == [{"kind": "register"}]
    assert json.loads((tmp_path / "e.0.response").read_text())["id"] == "7"


@pytest.mark.parametrize(("state", "error"), [("running", TransportError), ("finished", RunOver)])
def test_who_gets_no_answer_is_told_why(state: str, error: type[Exception], tmp_path: Path) -> None:
    channel = FolderChannel(tmp_path, "a.0", "run", lambda: (3, {"state": state}))
    channel.timeout_s = 0.05
    with pytest.raises(error):
        channel.call({"kind": "heartbeat"})
    channel.close()
    assert list(tmp_path.iterdir()) == []


def test_timing_is_the_callers(tmp_path: Path) -> None:
    timing = Timing(lease_s=2.0, heartbeat_s=0.5, closed_s=1.0, poll_s=1.0)
    results = run(objective, SPACE, tmp_path / "run", n_trials=3, timing=timing, **OPTIONS)
    assert isinstance(results, Results)
    assert completed(results) == 3

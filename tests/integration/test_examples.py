"""Each example does what it says, in an empty directory; the distributed one also when killed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from hpdist import Results
from hpdist.core.journal.reader import read_journal
from hpdist.core.model.events import AttemptEnded, AttemptStarted, Record, RunResumed

EXAMPLES = Path(__file__).parents[2] / "examples"
LIMIT_S = 60.0


class Stage:
    """An empty directory in which examples are run; ends whatever they leave behind."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.started: list[subprocess.Popen[str]] = []

    def start(self, name: str, *arguments: str) -> subprocess.Popen[str]:
        with (self.directory / "stderr").open("a") as errors:
            process = subprocess.Popen(
                [sys.executable, str(EXAMPLES / name), *arguments],
                cwd=self.directory,
                env={**os.environ, "HOME": str(self.directory / "home")},
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
        self.started.append(process)
        return process

    def run(self, name: str, *arguments: str) -> str:
        process = self.start(name, *arguments)
        out, _ = process.communicate(timeout=LIMIT_S)
        assert process.returncode == 0, (self.directory / "stderr").read_text()
        return out

    def close(self) -> None:
        for process in self.started:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(tmp_path)
    yield stage
    stage.close()


def records(path: Path) -> list[Record]:
    return [record for _, record in read_journal(path).records]


def test_every_example_is_tested() -> None:
    tested = Path(__file__).read_text()
    assert [each.name for each in EXAMPLES.glob("*.py") if f'"{each.name}"' not in tested] == []


@pytest.mark.slow
def test_local(stage: Stage) -> None:
    assert "30 completed" in stage.run("local.py")
    code = (EXAMPLES / "local.py").read_text().partition('"""\n')[2].split('"""\n')[-1]
    lines = [line for line in code.splitlines() if line.strip()]
    assert len(lines) <= 10


def test_ask_tell(stage: Stage) -> None:
    assert re.match(r"loss 0\.\d+ at budget 9: \{'lr': 0\.\d+\}\n", stage.run("ask_tell.py"))


@pytest.mark.slow
def test_early_stopping(stage: Stage) -> None:
    told = stage.run("early_stopping.py")
    assert "30 completed" in told
    assert re.search(r"\n[1-9]\d* of 30 trainings were ended early", told)


@pytest.mark.slow
def test_two_objectives(stage: Stage) -> None:
    *front, volume = stage.run("two_objectives.py").splitlines()
    pairs = [re.match(r"loss (\S+), +(\S+) MB", line).groups() for line in front]
    losses, sizes = ([float(pair[k]) for pair in pairs] for k in (0, 1))
    assert losses == sorted(losses)
    assert sizes == sorted(sizes, reverse=True)
    assert float(volume.rpartition(" ")[2]) > 8.0


@pytest.mark.slow
def test_worker_utilization(stage: Stage) -> None:
    assert "40 completed" in stage.run("worker_utilization.py")
    for name in ("utilization.png", "timetable.png"):
        picture = (stage.directory / name).read_bytes()
        assert picture.startswith(b"\x89PNG")
        assert len(picture) > 10_000


@pytest.mark.slow
def test_resume(stage: Stage) -> None:
    told = stage.run("resume.py")
    before, after, calls = (int(number) for number in re.findall(r"\d+", told))
    assert (before, after) == (13, 22)
    assert calls == after


@pytest.mark.slow
def test_shared_folder(stage: Stage) -> None:
    told = stage.run("shared_folder.py", "--trials", "30", "--processes", "3")
    assert "killed process" in told
    assert "30 trials, best: {'x':" in told


@pytest.mark.slow
def test_evaluator_processes(stage: Stage) -> None:
    told = stage.run("evaluator_processes.py")
    assert told.count("completed") == 7
    assert "x=3 crash F_crash (the objective's process died" in told


@pytest.mark.slow
def test_profile_worker_utilization(stage: Stage) -> None:
    stage.run("profile_worker_utilization.py", "--timeout", "3", "--workers", "2", "--sleep", "0.2")
    (picture,) = stage.directory.glob("*.png")
    assert picture.stat().st_size > 5000


@pytest.mark.slow
def test_views(stage: Stage) -> None:
    told = stage.run("views.py", "--engines", "3", "--scale", "0.1")
    assert "3 engines" in told
    assert told.count("38/38 tasks finished") == 2
    balanced, static = re.search(r"heavy .* view ([\d.]+), .* one ([\d.]+)", told).groups()  # type: ignore[union-attr]
    assert float(balanced) > float(static)
    for name in ("heavy-tasks-first.png", "random-lengths.png", "loads.png"):
        assert (stage.directory / name).stat().st_size > 5000


def test_three_processes(stage: Stage) -> None:
    told = stage.run("three_processes.py")
    assert "26 completed" in told
    assert told.count("a worker left: finished") == 2


def test_subclassed_worker(stage: Stage) -> None:
    told = stage.run("subclassed_worker.py")
    assert "evaluations known at the start: 0" in told
    assert "35 completed" in told


@pytest.mark.slow
def test_subclassed_worker_is_killed_and_goes_on(stage: Stage) -> None:
    first = stage.start("subclassed_worker.py")
    checkpoint = stage.directory / "checkpoint"
    until = time.monotonic() + LIMIT_S
    while not checkpoint.exists() or len(Results.read(checkpoint).evaluations) < 10:
        assert time.monotonic() < until, (stage.directory / "stderr").read_text()
        assert first.poll() is None, (stage.directory / "stderr").read_text()
        time.sleep(0.01)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()

    known = re.match(
        r"evaluations known at the start: (\d+)\n", told := stage.run("subclassed_worker.py")
    )
    assert known is not None
    assert 10 <= int(known[1]) <= 35
    assert "35 completed" in told
    found = records(checkpoint)
    assert [record.epoch for record in found if isinstance(record, RunResumed)] == [1, 2]
    finals = Counter(r.job_id for r in found if isinstance(r, AttemptEnded) and r.final)
    assert finals == Counter(range(35))
    workers = {record.worker_id for record in found if isinstance(record, AttemptStarted)}
    assert len(workers) > 2, "the workers of before and the new ones share the work"

"""Evaluators on real executors: what is submitted comes back once, whatever happens to it."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluator_functions import RELEASED, awaiting, patient, poisoned, profiled, square, told

from hpdist.core.model.errors import ConfigurationError, HpdistError
from hpdist.core.model.states import JobState
from hpdist.evaluator import (
    Evaluator,
    Job,
    JournalStorage,
    MaximumJobsReached,
    MemoryStorage,
    SharedMemoryStorage,
    ThreadPoolEvaluator,
)
from hpdist.evaluator.callbacks import Callback, CSVLoggerCallback, LoggerCallback, ProgressCallback

METHODS = ("serial", "thread", "process", "loky")
PROCESSES = ("process", "loky")


def make(function: Callable[..., Any], method: str = "thread", **options: Any) -> Evaluator:
    return Evaluator.create(function, method, {"num_workers": 2, **options})


def gathered(evaluator: Evaluator, type: str = "ALL", size: int = 1) -> list[Job]:
    jobs = evaluator.gather(type, size)
    assert isinstance(jobs, list)
    return sorted(jobs, key=lambda job: job.id)


@pytest.mark.parametrize("method", METHODS)
def test_what_is_submitted_is_gathered_once(method: str) -> None:
    with make(square, method, run_function_kwargs={"offset": 10}) as evaluator:
        submitted = evaluator.submit([{"x": x} for x in range(5)])
        jobs = gathered(evaluator)
        assert [job.objective for job in jobs] == [10, 9, 6, 1, -6]
        assert jobs == submitted
        assert {job.job_status for job in jobs} == {"completed"}
        for job in jobs:
            times = [job.metadata[f"timestamp_{at}"] for at in ("submit", "start", "end", "gather")]
            assert times == sorted(times)
        assert gathered(evaluator) == []
        assert evaluator.num_jobs_submitted == evaluator.num_jobs_gathered == 5


@pytest.mark.parametrize("method", METHODS)
def test_a_failure_is_the_job_s_own(method: str) -> None:
    poisons = ["raise", "nan", "F", "text", "bool", "pair", "fine"]
    with make(poisoned, method) as evaluator:
        evaluator.submit([{"x": poison} for poison in poisons])
        jobs = gathered(evaluator)
    assert [job.job_status for job in jobs] == [
        *("exception", "invalid", "exception", "invalid", "invalid", "completed", "completed")
    ]
    raised, nan, reported, *_, pair, fine = jobs
    assert raised.objective == "F_exception"
    assert raised.failure is not None
    assert "no such luck" in raised.failure.message
    first = raised.failure.traceback.splitlines()[1]
    assert "evaluator_functions.py" in first, "the traceback begins in the user's code"
    assert nan.failure is not None
    assert "nan" in nan.failure.message
    assert reported.objective == "F_unstable"
    assert (pair.objective, fine.objective) == ((1.0, 2.5), 1.0)


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        (None, "the objective is None"),
        ([], "there is no number in it"),
        ((1.0, "low"), "the objective is 'low'"),
        ({"loss": 1.0}, "the dict has no 'objective', only \\['loss'\\]"),
        ({"objective": 1.0, "meta": 2}, "the dict has keys beside 'objective' and 'metadata'"),
    ],
)
def test_what_a_run_function_may_not_return_is_said_in_its_words(returned: Any, said: str) -> None:
    with make(lambda job: returned) as evaluator:
        evaluator.submit([{}])
        (job,) = gathered(evaluator)
    assert job.job_status == "invalid"
    assert job.failure is not None
    assert re.search(said, job.failure.message), job.failure.message


def test_numbers_of_numpy_are_numbers() -> None:
    values = [np.float64(2.5), np.array(3.0), np.array([1.0, 2.0]), np.int8(4)]
    with make(lambda job: values[job["x"]], "serial") as evaluator:
        evaluator.submit([{"x": x} for x in range(4)])
        assert [job.objective for job in gathered(evaluator)] == [2.5, 3.0, (1.0, 2.0), 4.0]


@pytest.mark.parametrize("method", ["serial", "thread"])
def test_an_interrupt_that_a_run_function_raises_itself_is_its_failure(method: str) -> None:
    def interrupting(job: Any) -> float:
        if job["x"]:
            raise KeyboardInterrupt
        return 1.0

    with make(interrupting, method) as evaluator:
        evaluator.submit([{"x": 1}, {"x": 0}])
        assert [job.job_status for job in gathered(evaluator)] == ["exception", "completed"]


@pytest.mark.parametrize("method", PROCESSES)
def test_a_process_that_dies_is_one_failed_job(method: str) -> None:
    with make(poisoned, method) as evaluator:
        evaluator.submit([{"x": "os._exit"}])
        (dead,) = gathered(evaluator)
        assert dead.job_status == "crash"
        evaluator.submit([{"x": 1}, {"x": 2}, {"x": 3}])
        assert [job.job_status for job in gathered(evaluator)] == ["completed"] * 3


@pytest.mark.parametrize("method", METHODS)
def test_a_job_is_a_dict_of_its_parameters_that_knows_its_id(method: str) -> None:
    with make(told, method) as evaluator:
        evaluator.submit([{"x": 1, "y": 2}])
        (job,) = gathered(evaluator)
    assert job.metadata["names"] == ["x", "y"]
    assert job.metadata["id"] == job.metadata["got"] == job.id
    assert (job.metadata["pid"] == os.getpid()) == (method not in PROCESSES)


@pytest.mark.parametrize("method", METHODS)
def test_coroutine_functions_run_everywhere(method: str) -> None:
    with make(awaiting, method) as evaluator:
        evaluator.submit([{"x": 1}, {"x": 2}])
        assert [job.objective for job in gathered(evaluator)] == [1.0, 2.0]


def test_coroutines_take_turns() -> None:
    met: list[int] = []
    all_here = asyncio.Event()

    async def meeting(job: Any) -> float:
        met.append(job["x"])
        if len(met) == 3:
            all_here.set()
        await all_here.wait()  # none returns before all have begun
        return 1.0

    with make(meeting, "serial", num_workers=3) as evaluator:
        evaluator.submit([{"x": x} for x in range(3)])
        assert [job.objective for job in gathered(evaluator)] == [1.0] * 3


def test_jobs_of_threads_overlap_and_begin_without_gather() -> None:
    barrier = threading.Barrier(5, timeout=30)

    def meeting(job: Any) -> float:
        barrier.wait()
        return 1.0

    with make(meeting, num_workers=4) as evaluator:
        evaluator.submit([{"x": x} for x in range(4)])
        barrier.wait()  # passes only with all four jobs at it
        assert [job.objective for job in gathered(evaluator)] == [1.0] * 4


def test_a_batch_is_returned_while_others_run() -> None:
    go_on = threading.Event()

    def slow_if_asked(job: Any) -> float:
        if job["x"]:
            go_on.wait()
        return 1.0

    with make(slow_if_asked) as evaluator:
        evaluator.submit([{"x": 0}, {"x": 1}])
        (job,) = gathered(evaluator, "BATCH", 1)
        assert job.args == {"x": 0}
        go_on.set()
        (job,) = gathered(evaluator, "BATCH", 99)
        assert job.args == {"x": 1}


def wait_for(*files: Path) -> None:
    until = time.monotonic() + 30
    while not all(file.exists() for file in files):
        assert time.monotonic() < until
        time.sleep(0.005)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    RELEASED.set()
    for thread in threading.enumerate():
        if thread.name.startswith("hpdist"):
            thread.join(30)
    RELEASED.clear()


@pytest.mark.slow
@pytest.mark.parametrize("method", ["thread", "process", "loky"])
def test_when_time_is_up_jobs_are_cancelled_after_the_grace(method: str, tmp_path: Path) -> None:
    with make(patient, method, num_workers=1, grace_s=0.2) as evaluator:
        assert evaluator.time_left is None
        running, queued = evaluator.submit([{"begun": str(tmp_path / name)} for name in "ab"])
        wait_for(tmp_path / "a")
        evaluator.timeout = 0.1
        assert gathered(evaluator) == [running, queued]
        assert running.job_status == queued.job_status == "cancelled"
        assert running.status is JobState.CANCELLED
        assert not (tmp_path / "b").exists()
        assert evaluator.time_left == 0
        (late,) = evaluator.submit([{"begun": str(tmp_path / "c")}])
        assert gathered(evaluator) == [late]
        assert late.job_status == "cancelled"


def test_a_new_time_limit_lets_jobs_run_again() -> None:
    with make(square) as evaluator:
        evaluator.submit([{"x": 1}])
        gathered(evaluator)
        evaluator.timeout = 0.01
        while evaluator.time_left:
            time.sleep(0.01)
        evaluator.timeout = None
        evaluator.submit([{"x": 2}])
        assert [job.objective for job in gathered(evaluator)] == [-4]


@pytest.mark.parametrize("method", ["thread", "process"])
def test_close_cancels_what_runs_and_returns_it(method: str, tmp_path: Path) -> None:
    evaluator = make(patient, method, num_workers=1, grace_s=0.2)
    jobs = evaluator.submit([{"begun": str(tmp_path / name)} for name in "ab"])
    wait_for(tmp_path / "a")
    assert sorted(evaluator.close(), key=lambda job: job.id) == jobs
    assert [job.job_status for job in jobs] == ["cancelled"] * 2
    assert evaluator.close() == []
    with pytest.raises(ConfigurationError, match="closed"):
        evaluator.submit([{"begun": "c"}])


def test_it_works_within_a_running_event_loop() -> None:
    async def notebook() -> tuple[list[Job], Job]:
        with make(awaiting, "serial") as evaluator:
            evaluator.submit([{"x": 1}])
            jobs = gathered(evaluator)
            (submitted,) = evaluator.submit([{"x": 2}])
            executed = [await evaluator.execute(submitted), await evaluator.execute(Job({"x": 3}))]
            assert [job.objective for job in executed] == [2.0, 3.0]
            assert gathered(evaluator) == []
            assert evaluator.num_jobs_gathered == 3
            return jobs, executed[0]

    (first,), second = asyncio.run(notebook())
    assert (first.objective, second.objective) == (1.0, 2.0)


def test_the_number_of_jobs_is_limited_strictly() -> None:
    with make(square) as evaluator:
        evaluator.set_maximum_num_jobs_submitted(2)
        with pytest.raises(MaximumJobsReached):
            evaluator.submit([{"x": x} for x in range(3)])
        assert evaluator.num_jobs_submitted == 0
        evaluator.submit([{"x": 1}, {"x": 2}])
        with pytest.raises(MaximumJobsReached):
            evaluator.submit([{"x": 3}])
        evaluator.set_maximum_num_jobs_submitted(-1)
        evaluator.submit([{"x": 3}])
        assert len(gathered(evaluator)) == 3


# ------------------------------------------------------------------ others of the same search

OTHER = """
import sys
from evaluator_functions import square
from hpdist.evaluator import JournalStorage, ThreadPoolEvaluator
storage = JournalStorage(sys.argv[1])
with ThreadPoolEvaluator(square, storage=storage, search_id=sys.argv[2]) as evaluator:
    evaluator.submit([{"x": 7}])
    own, others = evaluator.gather("ALL")
    print([job.objective for job in own], [job.objective for job in others])
"""


def test_processes_that_share_a_journal_see_each_other_s_jobs(tmp_path: Path) -> None:
    storage = JournalStorage(tmp_path / "storage")
    with ThreadPoolEvaluator(square, storage=storage) as evaluator:
        evaluator.submit([{"x": 2}])
        assert [job.objective for job in gathered(evaluator)] == [-4]
        arguments = [str(storage.directory), evaluator.search_id]
        done = subprocess.run(
            [sys.executable, "-c", OTHER, *arguments],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert done.stdout == "[-49.0] [-4.0]\n"
        evaluator.submit([{"x": 3}])
        own, others = evaluator.gather("ALL")
        assert isinstance(others, list)
        assert ([job.objective for job in own], [job.objective for job in others]) == ([-9], [-49])
        assert evaluator.gather_other_jobs_done() == []
    storage.close()


@pytest.mark.parametrize("kind", [MemoryStorage, SharedMemoryStorage])
def test_evaluators_of_one_process_share_a_storage(kind: Callable[[], Any]) -> None:
    storage = kind()
    with ThreadPoolEvaluator(square, storage=storage) as one:
        search_id = one.search_id
        with ThreadPoolEvaluator(square, storage=storage, search_id=search_id) as two:
            (first,) = one.submit([{"x": 1}])
            one.gather("ALL")
            (second,) = two.submit([{"x": 2}])
            own, others = two.gather("ALL")
            assert own == [second]
            assert [job.id for job in others] == [first.id]  # type: ignore[union-attr]
    if isinstance(storage, SharedMemoryStorage):
        place = storage.directory
        storage.close()
        assert not place.exists()


def test_a_line_that_is_no_job_is_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    storage = JournalStorage(tmp_path)
    search_id = storage.new_search()
    (tmp_path / search_id / "9.jsonl").write_bytes(b'not JSON\n{"job_id": "0.9-0"}\n{"torn')
    with ThreadPoolEvaluator(square, storage=storage, search_id=search_id) as evaluator:
        assert evaluator.gather_other_jobs_done() == []
    assert caplog.text.count("no job") == 2
    storage.close()


# ------------------------------------------------------------------ callbacks


class Recorder(Callback):
    def __init__(self) -> None:
        self.calls: list[str] = []
        self.threads: set[threading.Thread] = set()

    def note(self, name: str) -> None:
        self.calls.append(name)
        self.threads.add(threading.current_thread())

    def on_launch(self, job: Job) -> None:
        self.note("launch")

    def on_done(self, job: Job) -> None:
        self.note("done")

    def on_gather(self, local_jobs: list[Job], other_jobs: list[Job]) -> None:
        self.note(f"gather {len(local_jobs)}")

    def on_close(self) -> None:
        self.note("close")


class Raising(Callback):
    def on_done(self, job: Job) -> None:
        raise RuntimeError("a bug of the user's")


def test_callbacks_are_called_in_the_caller_s_thread_and_may_fail(
    caplog: pytest.LogCaptureFixture,
) -> None:
    recorder = Recorder()
    with make(square, callbacks=[Raising(), recorder]) as evaluator:
        evaluator.submit([{"x": 1}, {"x": 2}])
        gathered(evaluator)
    assert recorder.calls == ["launch", "launch", "done", "done", "gather 2", "close"]
    assert recorder.threads == {threading.current_thread()}
    assert [record.getMessage().partition(" ")[0] for record in caplog.records] == ["on_done"] * 2
    assert "a bug of the user's" in caplog.text


def test_ready_callbacks(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    file = tmp_path / "results.csv"
    ready = [CSVLoggerCallback(file), LoggerCallback(), ProgressCallback()]
    with make(poisoned, callbacks=ready) as evaluator:
        evaluator.submit([{"x": 5}])
        gathered(evaluator)
        evaluator.submit([{"x": "raise"}])
        gathered(evaluator)
    head, fine, failed = file.read_text().splitlines()
    assert head.startswith("job_id,job_status,objective,p:x,m:timestamp_submit")
    assert fine.startswith("0.0,completed,1.0,5,")
    assert failed.startswith("0.1,exception,,raise,")
    assert "best 1, 2 done, 1 failed" in caplog.text


# ------------------------------------------------------------------ what is refused, and the rest


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (lambda: Evaluator.create(square, "carrier pigeon"), "method must be one of"),
        (lambda: Evaluator.create(square, "thread", {"pigeons": 2}), "pigeons"),
        (lambda: make(square, num_workers=0), "num_workers"),
        (lambda: make(lambda: 1.0), "cannot be called"),
        (lambda: make(square, run_function_kwargs={"wings": 2}), "wings"),
        (lambda: make(square, callbacks=[print]), "callback"),
        (lambda: make(square, storage="here"), "storage"),
        (lambda: make(square, search_id="17"), "no search '17'"),
        (lambda: make(square, search_id="../17", storage=SharedMemoryStorage()), "no search"),
        (lambda: make(square).gather("SOME"), "ALL, BATCH"),
        (lambda: make(square).submit([1]), "dict"),
        (lambda: make(square).submit([{"x": 1}, {"x": object()}]), "JSON"),
    ],
)
def test_what_cannot_work_is_refused_at_once(wrong: Callable[[], object], why: str) -> None:
    with pytest.raises(ValueError, match=why) as refused:
        wrong()
    assert isinstance(refused.value, HpdistError)


def test_an_evaluator_tells_of_itself() -> None:
    with make(square) as evaluator:
        assert evaluator.to_json() == {
            "type": "ThreadPoolEvaluator",
            "num_workers": 2,
            "run_function": "square",
            "search_id": "0",
        }
        assert evaluator.is_master


def test_times_of_a_profiled_function_are_the_evaluator_s() -> None:
    for method in METHODS:
        with make(profiled, method) as evaluator:
            evaluator.submit([{"x": 1}])
            (job,) = gathered(evaluator)
        assert job.objective == 1.0
        times = [job.metadata[f"timestamp_{at}"] for at in ("submit", "start", "end", "gather")]
        assert times == sorted(times)
        assert times[-1] < 60
        assert job.metadata["cpu_end"] >= job.metadata["cpu_start"]


def test_the_clock_of_another_host_is_brought_to_the_evaluator_s() -> None:
    def elsewhere(job: Any) -> dict[str, Any]:
        now = time.time() + job["off"]
        return {"output": 1.0, "metadata": {"timestamp_start": now, "timestamp_end": now}}

    with make(elsewhere) as evaluator:
        evaluator.submit([{"off": off} for off in (-1e6, 1e6)])
        for job in gathered(evaluator):
            times = [job.metadata[f"timestamp_{at}"] for at in ("submit", "start", "end", "gather")]
            assert times == sorted(times)


def test_workers_end_with_the_evaluator_that_nobody_closed() -> None:
    evaluator = make(square, "process")
    evaluator.submit([{"x": 1}])
    gathered(evaluator)
    thread = next(each for each in threading.enumerate() if each.name == "hpdist-evaluator")
    del evaluator
    thread.join(30)
    assert not thread.is_alive()

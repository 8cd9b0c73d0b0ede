"""A dispatcher alone: jobs that a caller submits, workers that dial in, no master."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster_scene import LIMIT_S, RUN, Scene, eventually, scene_in

from hpdist import Dispatcher
from hpdist.cluster.directory import Names, list_runs, list_workers
from hpdist.core.journal.run_key import find_key
from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.events import AttemptEnded
from hpdist.core.model.values import Success
from hpdist.core.run.finished_jobs import FinishedJob
from hpdist.core.run.submissions import Submissions


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    with scene_in(tmp_path, monkeypatch) as scene:
        scene.nameserver()
        yield scene


@pytest.fixture
def results() -> queue.SimpleQueue[FinishedJob]:
    return queue.SimpleQueue()


class Gate:
    """An objective that waits until it may go on."""

    def __init__(self) -> None:
        self.began, self.go_on = threading.Event(), threading.Event()

    def __call__(self, config: dict[str, Any]) -> float:
        self.began.set()
        assert self.go_on.wait(LIMIT_S)
        return float(config["x"])


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.go_on.set()


def test_submitted_jobs_come_back_with_their_ids(
    scene: Scene, results: queue.SimpleQueue[FinishedJob]
) -> None:
    dispatcher = scene.dispatcher(results.put)
    for number in range(5):
        dispatcher.submit_job((0, 0, number), config={"x": float(number)}, budget=2.0)
    scene.worker(lambda config, budget: {"loss": config["x"] * budget, "info": "told"})
    jobs = {job.id: job for job in (results.get(timeout=LIMIT_S) for _ in range(5))}
    assert {job_id: job.result["loss"] for job_id, job in jobs.items() if job.result} == {
        (0, 0, number): 2.0 * number for number in range(5)
    }
    one = jobs[0, 0, 3]
    assert one.result == {"loss": 6.0, "info": "told"}
    assert one.exception is None
    assert one.kwargs == {"config": {"x": 3.0}, "budget": 2.0}
    times = [one.timestamps[name] for name in ("submitted", "started", "finished")]
    assert times == sorted(times)


def test_a_failed_job_comes_back_with_its_traceback(
    scene: Scene, results: queue.SimpleQueue[FinishedJob]
) -> None:
    def fails(config: dict[str, Any]) -> float:
        raise ZeroDivisionError("on purpose")

    dispatcher = scene.dispatcher(results.put)
    scene.worker(fails)
    dispatcher.submit_job("one", config={})
    job = results.get(timeout=LIMIT_S)
    assert job.result is None
    assert job.exception is not None
    assert job.exception.startswith("exception: ZeroDivisionError: on purpose")
    assert 'raise ZeroDivisionError("on purpose")' in job.exception


def test_a_job_without_a_configuration_is_refused_at_once(scene: Scene) -> None:
    dispatcher = scene.dispatcher(lambda job: None)
    with pytest.raises(ConfigurationError, match="'a' needs config="):
        dispatcher.submit_job("a", budget=3)
    with pytest.raises(ConfigurationError, match="budget must be a finite number > 0, got 'much'"):
        dispatcher.submit_job("a", config={}, budget="much")


def test_an_open_job_is_not_submitted_twice(
    scene: Scene, results: queue.SimpleQueue[FinishedJob], gate: Gate
) -> None:
    dispatcher = scene.dispatcher(results.put)
    scene.worker(gate)
    dispatcher.submit_job("a", config={"x": 1.0})
    assert gate.began.wait(LIMIT_S)
    dispatcher.submit_job("a", config={"x": 2.0})
    dispatcher.submit_job("b", config={"x": 3.0})
    gate.go_on.set()
    assert [(job.id, job.result["loss"]) for job in (results.get(), results.get())] == [  # type: ignore[index]
        ("a", 1.0),
        ("b", 3.0),
    ]
    dispatcher.submit_job("a", config={"x": 4.0})
    assert results.get(timeout=LIMIT_S).result == {"loss": 4.0, "info": None}


def test_a_result_that_is_handed_in_is_accepted_once(
    scene: Scene, results: queue.SimpleQueue[FinishedJob], gate: Gate
) -> None:
    dispatcher = scene.dispatcher(results.put)
    assert not dispatcher.register_result("a", 1.0), "there is no such job"
    dispatcher.submit_job("a", config={"x": 1.0})
    assert not dispatcher.register_result("a", 1.0), "it was not handed out"
    worker = scene.worker(gate)
    assert gate.began.wait(LIMIT_S)
    assert dispatcher.register_result("a", {"loss": 7.0, "info": {"by": "hand"}})
    assert results.get(timeout=LIMIT_S).result == {"loss": 7.0, "info": {"by": "hand"}}
    assert not dispatcher.register_result("a", 2.0), "it is settled"
    gate.go_on.set()
    eventually(lambda: not worker.is_busy(), "the end of the evaluation")
    dispatcher.submit_job("b", config={"x": 5.0})
    assert results.get(timeout=LIMIT_S).id == "b", "the worker's own result was fenced"


def test_a_failure_that_is_handed_in_is_a_failure(
    scene: Scene, results: queue.SimpleQueue[FinishedJob], gate: Gate
) -> None:
    dispatcher = scene.dispatcher(results.put)
    scene.worker(gate)
    dispatcher.submit_job("a", config={"x": 1.0})
    assert gate.began.wait(LIMIT_S)
    assert dispatcher.register_result("a", {"result": None, "exception": "no data"})
    job = results.get(timeout=LIMIT_S)
    assert (job.result, job.exception) == (None, "exception: no data")


def test_workers_are_counted_announced_and_discovered(scene: Scene, gate: Gate) -> None:
    counts: queue.SimpleQueue[int] = queue.SimpleQueue()
    dispatcher = scene.dispatcher(lambda job: None, queue_callback=counts.put)
    assert dispatcher.number_of_workers() == 0
    assert dispatcher.discover_workers() == []
    workers = [scene.worker(gate, worker_id=name) for name in "ab"]
    seen = [counts.get(timeout=LIMIT_S)]
    if seen == [1]:  # they may also be counted together
        seen.append(counts.get(timeout=LIMIT_S))
    assert seen[-1] == 2
    assert dispatcher.number_of_workers() == 2
    handles = {handle.name: handle for handle in dispatcher.discover_workers()}
    assert handles.keys() == {worker.worker_id for worker in workers}
    assert {handle.uri for handle in handles.values()} == {dispatcher.service.uri}

    dispatcher.submit_job(1, config={"x": 0.0})
    assert gate.began.wait(LIMIT_S)
    states = {name: (handle.is_alive(), handle.is_busy()) for name, handle in handles.items()}
    assert sorted(states.values()) == [(True, False), (True, True)]
    (busy,) = (handle for handle in handles.values() if handle.is_busy())
    busy.shutdown()
    gate.go_on.set()
    assert counts.get(timeout=LIMIT_S) == 1
    assert not busy.is_alive()
    assert not busy.is_busy()


def test_a_review_enters_the_workers_in_the_nameserver(scene: Scene, gate: Gate) -> None:
    dispatcher = scene.dispatcher(lambda job: None, ping_interval=1000)
    worker = scene.worker(gate)
    dispatcher.submit_job(1, config={"x": 0.0})
    assert gate.began.wait(LIMIT_S)
    dispatcher.discover_workers()
    with Names(*dispatcher.run_address.nameserver(), find_key(RUN, scene.run)) as names:
        assert list_runs(names) == [RUN]
        assert list_workers(names, RUN)[worker.worker_id].metadata["state"] == "busy"
        gate.go_on.set()
        eventually(lambda: not dispatcher.service.running, "the end of the job")
        dispatcher.trigger_discover_worker()
        eventually(
            lambda: list_workers(names, RUN)[worker.worker_id].metadata["state"] == "idle",
            "the review that was asked for",
        )
        dispatcher.shutdown(shutdown_workers=True)
        assert list_runs(names) == []
        assert list_workers(names, RUN) == {}


def test_workers_are_known_although_the_nameserver_is_gone(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    dispatcher = scene.dispatcher(lambda job: None)
    worker = scene.worker()
    eventually(lambda: dispatcher.number_of_workers() == 1)
    scene.server.shutdown()
    assert [handle.name for handle in dispatcher.discover_workers()] == [worker.worker_id]
    assert "has no nameserver" in caplog.text


def test_workers_leave_when_all_are_told_to(scene: Scene) -> None:
    dispatcher = scene.dispatcher(lambda job: None)
    workers = [scene.worker() for _ in range(2)]
    eventually(lambda: dispatcher.number_of_workers() == 2)
    dispatcher.shutdown_all_workers(rediscover=True)
    for worker in workers:
        assert worker.wait(LIMIT_S)
        assert worker.reason == "shut down"
    eventually(lambda: dispatcher.number_of_workers() == 0)


@pytest.mark.parametrize("dismissed", [True, False])
def test_workers_leave_at_a_shutdown_if_that_is_wanted(scene: Scene, dismissed: bool) -> None:
    dispatcher = scene.dispatcher(lambda job: None)
    worker = scene.worker()
    eventually(lambda: dispatcher.number_of_workers() == 1)
    dispatcher.shutdown(shutdown_workers=dismissed)
    assert worker.wait(LIMIT_S if dismissed else 0.5) is dismissed


def test_a_dispatcher_can_be_shut_down_by_its_own_callback(scene: Scene) -> None:
    seen: list[Any] = []

    def stop(job: FinishedJob) -> None:
        seen.append(job.id)
        dispatcher.shutdown(shutdown_workers=True)
        seen.append("back")

    dispatcher = scene.dispatcher(stop)
    worker = scene.worker()
    dispatcher.submit_job("only", config={"x": 0.0})
    assert worker.wait(LIMIT_S)
    assert seen == ["only", "back"]


def test_a_callback_that_raises_harms_no_job(
    scene: Scene, results: queue.SimpleQueue[FinishedJob], caplog: pytest.LogCaptureFixture
) -> None:
    def raises(job: FinishedJob) -> None:
        results.put(job)
        raise KeyError(job.id)

    dispatcher = scene.dispatcher(raises)
    scene.worker()
    for number in range(2):
        dispatcher.submit_job(number, config={"x": 0.0})
    assert [results.get(timeout=LIMIT_S).id for _ in range(2)] == [0, 1]
    assert "the search goes on" in caplog.text


def test_a_dispatcher_runs_in_the_thread_that_calls_it(scene: Scene) -> None:
    counted = threading.Event()
    dispatcher = Dispatcher(
        lambda job: dispatcher.shutdown(shutdown_workers=True),
        RUN,
        nameserver=None,
        working_directory=scene.directory,
        queue_callback=lambda count: counted.set(),
    )
    dispatcher.submit_job(0, config={"x": 0.0})
    scene.worker()
    dispatcher.run()
    assert counted.is_set()
    assert dispatcher.error is None


def test_a_second_dispatcher_of_a_run_is_refused(scene: Scene) -> None:
    first = scene.dispatcher(lambda job: None)
    first.discover_workers()
    with pytest.raises(ConfigurationError, match=r"(?s)'scene' has a master already.*process \d+"):
        scene.dispatcher(lambda job: None)


def test_a_callback_that_raises_does_not_hide_the_next_result() -> None:
    told: list[Any] = []

    def careless(job: FinishedJob) -> None:
        told.append(job.id)
        raise KeyError(job.id)

    source = Submissions(careless)
    jobs = [source.add(name, {"config": {"x": 1.0}}, 0.0) for name in "ab"]
    ended = [AttemptEnded(job.job_id, 1, "w", Success(1.0)) for job in jobs if job is not None]
    source.observe([(0.0, record) for record in ended])
    assert told == ["a", "b"]
    assert source.add("b", {"config": {"x": 1.0}}, 0.0) is not None


def test_a_job_that_is_no_json_is_refused_at_once() -> None:
    with pytest.raises(ConfigurationError, match="cannot be sent as JSON"):
        Submissions(lambda job: None).add("a", {"config": {"x": {1, 2}}}, 0.0)

"""What the local executor does beyond the contract."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from attempt_objectives import Loaded, poisoned, talkative

from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.events import (
    AttemptFinished,
    AttemptReleased,
    ExecutorFailed,
    ProgressReported,
    WorkerJoined,
    WorkerLeft,
)
from hpdist.core.model.orders import (
    Acknowledge,
    Recall,
    Registered,
    Reregister,
    ShutDown,
)
from hpdist.core.model.payload import PreviousAttempt
from hpdist.core.model.states import FailureKind
from hpdist.core.model.values import Failure, Success, WorkerInfo
from hpdist.core.objective.objective import objective_of
from hpdist.executors.local import LocalExecutor
from hpdist.executors.serial import SerialExecutor
from hpdist.testing.executors import Posted, behave, launch


def joined(posted: Posted, count: int) -> list[WorkerInfo]:
    workers = [posted.next(WorkerJoined).worker for _ in range(count)]
    return sorted(workers, key=lambda worker: worker.worker_id)


def name_of(worker: WorkerInfo) -> tuple[str, str]:
    return worker.worker_id, worker.incarnation


def test_every_worker_joins_once_under_a_name_of_its_own() -> None:
    executor, posted = LocalExecutor(objective_of(behave), workers=3, isolation="none"), Posted()
    executor.start(posted)
    workers = joined(posted, 3)
    executor.close(5.0)
    assert [worker.worker_id for worker in workers] == ["local-0", "local-1", "local-2"]
    assert len({worker.incarnation for worker in workers}) == 3
    assert sum(isinstance(event, WorkerJoined) for event in posted.events) == 3


def meet(barrier: threading.Barrier, config: dict[str, Any]) -> float:
    barrier.wait(20)
    return 1.0


def test_workers_run_at_the_same_time() -> None:
    barrier = threading.Barrier(2)
    executor = LocalExecutor(
        objective_of(lambda config: meet(barrier, config)), workers=2, isolation="none"
    )
    posted = Posted()
    executor.start(posted)
    executor.perform([launch(worker, i, {}) for i, worker in enumerate(joined(posted, 2))])
    for _ in range(2):
        assert posted.next(AttemptFinished).result.outcome == Success(1.0)
    executor.close(5.0)


def test_a_recalled_attempt_is_handed_back_only_if_it_has_not_begun() -> None:
    begun, release = threading.Event(), threading.Event()

    def first(config: dict[str, Any]) -> float:
        begun.set()
        return 1.0 if release.wait(20) else 0.0

    executor, posted = LocalExecutor(objective_of(first), isolation="none", prefetch=1), Posted()
    executor.start(posted)
    (worker,) = joined(posted, 1)
    assert worker.prefetch == 1
    executor.perform([launch(worker, 0, {}), launch(worker, 1, {})])
    assert begun.wait(20)
    executor.perform([Recall(*name_of(worker), 0, 1), Recall(*name_of(worker), 1, 1)])
    release.set()
    assert posted.next(AttemptFinished).result.job_id == 0
    assert posted.next(AttemptReleased).job_id == 1
    executor.close(5.0)


def test_a_worker_dismissed_at_once_hands_back_what_it_has() -> None:
    executor, posted = LocalExecutor(objective_of(behave), prefetch=1), Posted()
    executor.start(posted)
    (worker,) = joined(posted, 1)
    executor.perform([launch(worker, 0, {"wait": True}), launch(worker, 1, {"wait": True})])
    executor.perform([ShutDown(*name_of(worker), drain=False, reason="quarantine")])
    assert {posted.next(AttemptReleased).job_id for _ in range(2)} == {0, 1}
    assert posted.next(WorkerLeft).reason == "quarantine"
    executor.close(5.0)


def test_orders_for_others_and_courtesies_change_nothing() -> None:
    executor, posted = LocalExecutor(objective_of(behave), isolation="none"), Posted()
    executor.start(posted)
    (worker,) = joined(posted, 1)
    stranger = WorkerInfo("local-0", "another incarnation")
    name = name_of(worker)
    executor.perform([launch(stranger, 0, {"loss": 0}), Registered(*name), Reregister(*name)])
    executor.perform([Acknowledge(*name, 7, 1), launch(worker, 1, {"loss": 1})])
    assert posted.next(AttemptFinished).result.job_id == 1
    executor.close(5.0)
    assert len(posted.events) == 2


def test_a_crash_costs_one_attempt_of_one_worker() -> None:
    executor, posted = LocalExecutor(objective_of(poisoned)), Posted()
    executor.start(posted)
    (worker,) = joined(posted, 1)
    executor.perform([launch(worker, 0, {"poison": "segfault"}), launch(worker, 1, {})])
    outcome = posted.next(AttemptFinished).result.outcome
    assert isinstance(outcome, Failure)
    assert outcome.kind is FailureKind.CRASH
    assert isinstance(posted.next(AttemptFinished).result.outcome, Success)
    executor.close(5.0)


def test_reports_are_posted_with_their_attempt() -> None:
    executor, posted = LocalExecutor(objective_of(talkative)), Posted()
    executor.start(posted)
    (worker,) = joined(posted, 1)
    executor.perform([launch(worker, 3, {"reports": 2})])
    first, second = posted.next(ProgressReported), posted.next(ProgressReported)
    assert first == ProgressReported(*name_of(worker), 3, 1, 0, 0.0)
    assert second == ProgressReported(*name_of(worker), 3, 1, 1, 0.5)
    executor.close(5.0)


def test_attempts_of_different_workers_share_one_run_directory(tmp_path: Path) -> None:
    executor = LocalExecutor(objective_of(talkative), workers=2, root=tmp_path)
    posted = Posted()
    executor.start(posted)
    first, second = joined(posted, 2)
    executor.perform([launch(first, 0, {})])
    posted.next(AttemptFinished)
    order = launch(second, 0, {})
    assert order.payload is not None
    higher = replace(order.payload, budget=3.0, previous=PreviousAttempt(1.0, 1))
    executor.perform([replace(order, payload=higher)])
    outcome = posted.next(AttemptFinished).result.outcome
    executor.close(5.0)
    assert isinstance(outcome, Success)
    assert outcome.info["former"] == "budget 1.0"


def test_devices_go_round_the_workers() -> None:
    executor = LocalExecutor(
        objective_of(behave), workers=3, isolation="none", devices=("cuda:0", "cuda:1")
    )
    posted = Posted()
    executor.start(posted)
    workers = joined(posted, 3)
    executor.close(5.0)
    assert [worker.device for worker in workers] == ["cuda:0", "cuda:1", "cuda:0"]


@pytest.mark.parametrize("fault", ["raise", "die"])
def test_an_objective_that_cannot_be_built_fails_the_run_at_once(fault: str) -> None:
    executor, posted = LocalExecutor(Loaded(fault)), Posted()
    executor.start(posted)
    assert "loaded" in posted.next(ExecutorFailed).message
    executor.close(5.0)


def test_a_bug_that_ends_a_workers_thread_is_told() -> None:
    executor, posted = LocalExecutor(objective_of(behave), isolation="none"), Posted()
    executor.start(posted)
    (worker,) = joined(posted, 1)
    order = launch(worker, 0, {"loss": 1})
    executor.perform([replace(order, payload=object())])  # type: ignore[arg-type]
    failed = posted.next(ExecutorFailed)
    assert "trial_id" in failed.message
    assert "Traceback" in failed.traceback
    executor.close(5.0)


def test_closing_ends_an_objective_that_is_still_being_built() -> None:
    before = set(threading.enumerate())
    executor = LocalExecutor(Loaded("hang"), workers=2)
    executor.start(Posted())
    executor.close(2.0)
    assert set(threading.enumerate()) <= before


def test_closing_ends_an_objective_that_ignores_sigterm() -> None:
    before = set(threading.enumerate())
    executor, posted = LocalExecutor(objective_of(poisoned)), Posted()
    executor.start(posted)
    (worker,) = joined(posted, 1)
    executor.perform([launch(worker, 0, {"poison": "catch_sigterm"})])
    executor.close(1.0)
    assert set(threading.enumerate()) <= before


def test_nothing_is_posted_after_close_by_an_attempt_that_goes_on() -> None:
    begun, go = threading.Event(), threading.Event()

    def stubborn(config: dict[str, Any]) -> float:
        begun.set()
        go.wait(20)
        return 1.0

    executor, posted = LocalExecutor(objective_of(stubborn), isolation="none"), Posted()
    executor.start(posted)
    (worker,) = joined(posted, 1)
    (thread,) = [each for each in threading.enumerate() if each.name == "hpdist-slot-0"]
    executor.perform([launch(worker, 0, {})])
    assert begun.wait(20)
    executor.close(0.0)
    go.set()
    thread.join(20)
    assert not thread.is_alive()
    assert [type(event) for event in posted.events] == [WorkerJoined]


@pytest.mark.parametrize(
    "options",
    [
        {"workers": 0},
        {"isolation": "thread"},
        {"isolation": "none", "job_timeout": 1.0},
        {"isolation": "none", "memory_limit": 2**30},
        {"job_timeout": -1.0},
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        LocalExecutor(objective_of(behave), **options)


def test_the_serial_executor_runs_in_the_callers_thread() -> None:
    executor = SerialExecutor(objective_of(lambda config: float(threading.get_ident())))
    posted = Posted()
    executor.start(posted)
    executor.perform([launch(joined(posted, 1)[0], 0, {})])
    assert posted.next(AttemptFinished).result.outcome == Success(float(threading.get_ident()))
    executor.close(0.0)

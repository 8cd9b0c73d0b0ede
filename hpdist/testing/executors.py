"""The contract of an executor, as tests: inherit a class and define `make`."""

from __future__ import annotations

import queue
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from hpdist.core.dispatch.executor import Executor
from hpdist.core.model.events import (
    AttemptFinished,
    AttemptReleased,
    Event,
    ProgressReported,
    WorkerJoined,
    WorkerLeft,
)
from hpdist.core.model.orders import (
    Acknowledge,
    Cancel,
    Launch,
    Order,
    Registered,
    ShutDown,
    StopEarly,
)
from hpdist.core.model.payload import Payload
from hpdist.core.model.states import FailureKind
from hpdist.core.model.values import Failure, JsonValue, Outcome, Success, WorkerInfo
from hpdist.core.objective.objective import Objective, objective_of

E = TypeVar("E")

TIMEOUT_S = 30.0


class Posted:
    """A stand-in for the loop: records the events that are posted, and answers them.

    Parameters
    ----------
    executor
        The executor that gets the answers, if any: workers are registered, results acknowledged.

    Attributes
    ----------
    events
        All events, in order.
    """

    def __init__(self, executor: Executor | None = None) -> None:
        self.events: list[Event] = []
        self._executor = executor
        self._arrivals: queue.SimpleQueue[Event] = queue.SimpleQueue()

    def __call__(self, events: Sequence[Event]) -> None:
        for event in events:
            self.events.append(event)
            self._arrivals.put(event)

    def next(self, kind: type[E]) -> E:
        """Wait for the next event of this kind and return it, dropping others before it."""
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            try:
                event = self._arrivals.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no {kind.__name__} came, but {self.events}") from None
            if self._executor is not None:
                self._executor.perform(answers(event))
            if isinstance(event, kind):
                return event

    def outcome_of(self, job_id: int) -> Outcome:
        """Wait for the result of a job, dropping those of other jobs, and return its outcome."""
        while (result := self.next(AttemptFinished).result).job_id != job_id:
            pass
        return result.outcome


def answers(event: Event) -> list[Order]:
    """Return the orders with which every loop answers ``event``."""
    if isinstance(event, WorkerJoined):
        return [Registered(event.worker.worker_id, event.worker.incarnation)]
    if isinstance(event, AttemptFinished):
        assignment = (event.result.job_id, event.result.attempt)
        return [Acknowledge(event.worker_id, event.incarnation, *assignment)]
    return []


def payload_of(config: dict[str, JsonValue], trial_id: int = 0, **fields: Any) -> Payload:
    """Return the payload of an attempt to evaluate ``config``."""
    return Payload(trial_id, (0, 0, trial_id), config, **{"budget": 1.0, "seed": 7, **fields})


def launch(worker: WorkerInfo, job_id: int, config: dict[str, JsonValue]) -> Launch:
    """Return the order to run ``config`` as the first attempt of a job."""
    name = (worker.worker_id, worker.incarnation)
    return Launch(*name, job_id, 1, payload_of(config, job_id))


def behave(config: dict[str, Any], budget: float, ctx: Any) -> object:
    """Raise, wait or return a loss, depending on the configuration: the objective of the tests."""
    if "error" in config:
        raise ValueError(config["error"])
    if config.get("wait") and "loss" in config:
        ctx.report(1, config["loss"])
    while config.get("wait") and not ctx.should_stop():
        time.sleep(0.01)
    return config.get("loss")


class ExecutorContract(ABC):
    """Tests for pytest of what every executor does.

    A subclass whose name starts with ``Test`` defines `make`.
    """

    @abstractmethod
    def make(self, objective: Objective) -> Executor:
        """Return an executor with one slot or more."""

    @contextmanager
    def started(
        self, objective: Callable[..., object] = behave
    ) -> Iterator[tuple[Executor, Posted, WorkerInfo]]:
        """Start an executor; yield it, the loop that it posts to, and its first worker."""
        executor = self.make(objective_of(objective))
        posted = Posted(executor)
        executor.start(posted)
        try:
            yield executor, posted, posted.next(WorkerJoined).worker
        finally:
            executor.close(5.0)

    def test_each_launched_attempt_finishes_exactly_once(self) -> None:
        with self.started() as (executor, posted, worker):
            for job_id in range(5):
                executor.perform([launch(worker, job_id, {"loss": job_id / 2})])
                assert posted.outcome_of(job_id) == Success(job_id / 2)
        results = [each.result for each in posted.events if isinstance(each, AttemptFinished)]
        first = {(each.job_id, each.attempt): each for each in results}
        assert list(first) == [(job_id, 1) for job_id in range(5)]
        if executor.keeps_running:  # a result is repeated until it is acknowledged
            assert all(each == first[each.job_id, each.attempt] for each in results)
        else:
            assert len(results) == 5

    def test_an_exception_becomes_a_failure_and_the_next_attempt_runs(self) -> None:
        with self.started() as (executor, posted, worker):
            executor.perform([launch(worker, 0, {"error": "too bad"})])
            outcome = posted.outcome_of(0)
            assert isinstance(outcome, Failure)
            assert (outcome.kind, outcome.message) == (FailureKind.EXCEPTION, "ValueError: too bad")
            assert "behave" in outcome.traceback
            executor.perform([launch(worker, 1, {"loss": 1.0})])
            assert posted.outcome_of(1) == Success(1.0)

    def test_a_result_that_is_no_number_is_invalid(self) -> None:
        with self.started() as (executor, posted, worker):
            executor.perform([launch(worker, 0, {"loss": "low"})])
            outcome = posted.outcome_of(0)
            assert isinstance(outcome, Failure)
            assert outcome.kind is FailureKind.INVALID

    def test_events_name_the_worker_of_the_attempt(self) -> None:
        with self.started() as (executor, posted, worker):
            executor.perform([launch(worker, 0, {"loss": 0})])
            event = posted.next(AttemptFinished)
            assert (event.worker_id, event.incarnation) == (worker.worker_id, worker.incarnation)

    def test_a_worker_that_shuts_down_settles_its_attempts_and_leaves(self) -> None:
        with self.started() as (executor, posted, worker):
            name = (worker.worker_id, worker.incarnation)
            executor.perform([launch(worker, 0, {"loss": 1.0}), ShutDown(*name)])
            left = posted.next(WorkerLeft)
            assert (left.worker_id, left.incarnation) == name
        settled = [x for x in posted.events if isinstance(x, AttemptFinished | AttemptReleased)]
        assert settled
        for event in settled:  # released if the worker had not fetched it yet
            assert isinstance(event, AttemptReleased) or event.result.outcome == Success(1.0)

    def test_close_is_idempotent_and_leaves_no_thread_and_no_process(self) -> None:
        import psutil

        threads, children = set(threading.enumerate()), set(psutil.Process().children())
        with self.started() as (executor, posted, worker):
            executor.perform([launch(worker, 0, {"loss": 1.0})])
            posted.next(AttemptFinished)
            executor.close(5.0)
            count = len(posted.events)
            executor.close(5.0)
            executor.perform([launch(worker, 1, {"loss": 1.0})])
            assert set(threading.enumerate()) <= threads
            assert set(psutil.Process().children()) <= children
        assert len(posted.events) == count


class CancellingExecutorContract(ExecutorContract):
    """Tests of an executor that accepts orders while an attempt runs."""

    def test_a_cancelled_attempt_is_released_and_frees_the_slot(self) -> None:
        with self.started() as (executor, posted, worker):
            name = (worker.worker_id, worker.incarnation)
            executor.perform([launch(worker, 0, {"wait": True})])
            executor.perform([Cancel(*name, 0, 1), launch(worker, 1, {"loss": 2.0})])
            released = posted.next(AttemptReleased)
            assert (released.job_id, released.attempt) == (0, 1)
            assert posted.next(AttemptFinished).result.job_id == 1

    def test_a_worker_that_shuts_down_finishes_started_attempts(self) -> None:
        with self.started() as (executor, posted, worker):
            name = (worker.worker_id, worker.incarnation)
            executor.perform([launch(worker, 0, {"wait": True, "loss": 3.0})])
            assert posted.next(ProgressReported).loss == 3.0
            executor.perform([ShutDown(*name), StopEarly(*name, 0, 1)])
            assert posted.outcome_of(0) == Success(3.0)
            assert posted.next(WorkerLeft).incarnation == worker.incarnation

    def test_close_ends_an_attempt_that_runs(self) -> None:
        threads = set(threading.enumerate())
        with self.started() as (executor, _, worker):
            executor.perform([launch(worker, 0, {"wait": True})])
            executor.close(20.0)
            assert set(threading.enumerate()) <= threads

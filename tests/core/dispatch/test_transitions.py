"""What the tables of transitions do not list raises, and says what went before."""

from __future__ import annotations

import pytest

from hpdist.core.dispatch.state import DispatchState
from hpdist.core.dispatch.transitions import (
    HISTORY_LENGTH,
    JOB_TRANSITIONS,
    WORKER_TRANSITIONS,
    JobEvent,
)
from hpdist.core.model.errors import StateError
from hpdist.core.model.events import (
    AttemptEnded,
    AttemptStarted,
    AttemptStoppedEarly,
    JobCreated,
    Record,
    ReportReceived,
    WorkerChanged,
)
from hpdist.core.model.states import FailureKind, JobState, WorkerState
from hpdist.core.model.values import Failure, Job, Success, WorkerInfo

INFO = WorkerInfo("a", "a.1")
CRASH = Failure(FailureKind.CRASH, "killed by SIGSEGV")
CANCELLED = Failure(FailureKind.CANCELLED, "not wanted")


def job_record(event: JobEvent | None, attempt: int = 1) -> Record:
    """The record of an event of job 0."""
    return {
        JobEvent.CREATED: JobCreated(Job(0, 0, 1.0)),
        JobEvent.STARTED: AttemptStarted(0, max(attempt, 1), "a"),
        JobEvent.REPORTED: ReportReceived(0, attempt, 1, 0.5),
        JobEvent.STOPPED_EARLY: AttemptStoppedEarly(0, attempt, 1),
        JobEvent.RELEASED: AttemptEnded(0, attempt, "a", None, final=False),
        JobEvent.RETRIED: AttemptEnded(0, attempt, "a", CRASH, final=False),
        JobEvent.COMPLETED: AttemptEnded(0, attempt, "a", Success(1.0)),
        JobEvent.FAILED: AttemptEnded(0, attempt, "a", CRASH),
        JobEvent.CANCELLED: AttemptEnded(0, attempt, "a", CANCELLED),
        None: AttemptEnded(0, attempt, "a", None),
    }[event]


PATHS: dict[JobState, list[JobEvent]] = {
    JobState.QUEUED: [],
    JobState.RUNNING: [JobEvent.STARTED],
    JobState.COMPLETED: [JobEvent.STARTED, JobEvent.COMPLETED],
    JobState.FAILED: [JobEvent.STARTED, JobEvent.FAILED],
    JobState.CANCELLED: [JobEvent.CANCELLED],
}


def a_job(state: JobState) -> DispatchState:
    """Job 0 in a state, and worker a."""
    dispatch = DispatchState()
    for record in (WorkerChanged(WorkerState.JOINED, INFO), job_record(JobEvent.CREATED)):
        dispatch.apply(record)
    for event in PATHS[state]:
        dispatch.apply(job_record(event, dispatch.jobs[0].attempt))
    assert dispatch.jobs[0].state is state
    return dispatch


def test_a_jobs_event_changes_its_state_as_listed_or_raises_with_its_history() -> None:
    for state in JobState:
        for event in (*JobEvent, None):
            dispatch = a_job(state)
            record = job_record(event, dispatch.jobs[0].attempt)
            expected = JOB_TRANSITIONS.get((state, event))
            if expected is not None:
                dispatch.apply(record)
                assert dispatch.jobs[0].state is expected, (state, event)
                continue
            with pytest.raises(StateError) as error:
                dispatch.apply(record)
            message = str(error.value)
            assert f"job 0, attempt {dispatch.jobs[0].attempt} is {state.value}" in message
            assert "history: created (attempt 0)" in message
            assert all(before in message for before in PATHS[state]), message
            assert dispatch.jobs[0].state is state, "it raised, and changed"


def test_a_workers_change_is_listed_or_raises_with_its_history() -> None:
    paths = {
        None: [],
        WorkerState.JOINED: [WorkerState.JOINED],
        WorkerState.QUARANTINED: [WorkerState.JOINED, WorkerState.QUARANTINED],
    }
    for state, path in paths.items():
        for change in WorkerState:
            dispatch = DispatchState()
            for before in path:
                dispatch.apply(WorkerChanged(before, INFO, "for the test"))
            record = WorkerChanged(change, INFO)
            expected = WORKER_TRANSITIONS.get((state, change))
            if expected is not None:
                dispatch.apply(record)
                is_gone = expected in (WorkerState.LEFT, WorkerState.LOST)
                assert ("a" not in dispatch.workers) == is_gone
                continue
            with pytest.raises(StateError) as error:
                dispatch.apply(record)
            message = str(error.value)
            assert f"worker a is {state or 'not registered'}" in message
            assert all(f"{before} for the test" in message for before in path), message


def test_a_state_that_is_not_known_removes_no_worker() -> None:
    dispatch = DispatchState()
    dispatch.apply(WorkerChanged(WorkerState.JOINED, INFO))
    with pytest.raises(StateError, match=r"vanished cannot follow: worker a is joined"):
        dispatch.apply(WorkerChanged("vanished", INFO))  # type: ignore[arg-type]
    assert "a" in dispatch.workers


def test_an_attempt_for_a_worker_that_is_not_there_raises() -> None:
    dispatch = DispatchState()
    dispatch.apply(job_record(JobEvent.CREATED))
    with pytest.raises(StateError, match="worker a is not registered"):
        dispatch.apply(job_record(JobEvent.STARTED))


def test_a_history_is_short_however_long_a_job_is_tried() -> None:
    dispatch = a_job(JobState.QUEUED)
    for attempt in range(1, 50):
        dispatch.apply(job_record(JobEvent.STARTED, attempt))
        dispatch.apply(job_record(JobEvent.RELEASED, attempt))
    assert len(dispatch.jobs[0].history) == HISTORY_LENGTH
    with pytest.raises(StateError, match=r"released \(attempt 49 on a\)$"):
        dispatch.apply(job_record(JobEvent.REPORTED, 49))

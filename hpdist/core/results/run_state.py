"""The one fold of a run's records: displays, results and callbacks all read their numbers here."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable
from typing import Any

from hpdist.core.model.events import (
    AttemptEnded,
    AttemptStarted,
    Controlled,
    JobCreated,
    Record,
    RunCreated,
    RunEnded,
    RunResumed,
    WorkerChanged,
)
from hpdist.core.model.limits_and_timing import Limits
from hpdist.core.model.rank_and_cost import Rank, cost_of, loss_sign, rank_of
from hpdist.core.model.states import Command, EndReason, FailureKind, JobState, WorkerState
from hpdist.core.model.values import ConfigId, Failure, Success, Trial, settled_state
from hpdist.core.results.evaluation_result import EvaluationResult, Incumbent
from hpdist.core.results.run_state_rows import JobStatus, RungStatus, WorkerStatus


class RunState:
    """The state of a run, folded from its records.

    Parameters
    ----------
    keep_output
        Keep the output of evaluations; long-lived processes leave it out to save memory.

    Attributes
    ----------
    run
        The run's header; None before it.
    jobs
        By job id, in the order in which they were created.
    counts, failures
        Jobs by state, and failed ones by kind.
    workers, rungs
        By worker id, and by (bracket, rung).
    incumbents
        How the incumbent changed, oldest first.
    last_failure
        The job that failed or was cancelled last.
    total_cost
        Sum of the costs of the successes, see `hpdist.core.model.rank_and_cost`.
    first_at, started_at, last_at
        Wall time in seconds since 1970 of the first record, of the first since the run was last
        resumed, and of the last; None without records.
    resumed
        The record of the process that took the run over last.
    ended
        How the run ended; None while it goes on.
    finished_iterations
        The limit of iterations when the run finished last; 0 if it never did.
    paused
        Whether an operator asked it to pause.
    lock
        Held by `update`; other threads take it to read while a run goes on.
    """

    def __init__(self, *, keep_output: bool = True) -> None:
        self.run: RunCreated | None = None
        self.jobs: dict[int, JobStatus] = {}
        self.counts: Counter[JobState] = Counter()
        self.failures: Counter[FailureKind] = Counter()
        self.workers: dict[str, WorkerStatus] = {}
        self.rungs: dict[tuple[int, int], RungStatus] = {}
        self.incumbents: list[Incumbent] = []
        self.last_failure: JobStatus | None = None
        self.total_cost = 0.0
        self.first_at: float | None = None
        self.started_at: float | None = None
        self.last_at: float | None = None
        self.resumed: RunResumed | None = None
        self.ended: RunEnded | None = None
        self.finished_iterations = 0
        self.paused = False
        self.lock = threading.Lock()
        self._keep_output = keep_output
        self._sign = 1.0
        self._trials: dict[int, Trial] = {}
        self._limits: dict[str, Any] = {}
        self._best_rank: Rank | None = None

    def __getstate__(self) -> dict[str, Any]:
        # Results are pickled and copied by their users; a lock belongs to its process.
        return {name: value for name, value in vars(self).items() if name != "lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, lock=threading.Lock())

    # ------------------------------------------------------------------ queries

    @property
    def best(self) -> Incumbent | None:
        """The incumbent; None while nothing has succeeded."""
        return self.incumbents[-1] if self.incumbents else None

    @property
    def direction(self) -> str:
        """``minimize`` or ``maximize``."""
        return self.run.direction if self.run else "minimize"

    @property
    def limits(self) -> Limits:
        """The present limits: the header's, with later extensions."""
        return Limits(**self._limits)

    @property
    def finished(self) -> bool:
        """Whether the run has finished, and was not extended since."""
        return self.ended is not None and self.ended.reason == EndReason.FINISHED

    @property
    def evaluations(self) -> int:
        """The number of evaluations that succeeded or failed."""
        return self.counts[JobState.COMPLETED] + self.counts[JobState.FAILED]

    def elapsed(self, now: float) -> float:
        """Seconds since the run was last resumed, until it ended or else until ``now``."""
        if self.started_at is None or self.last_at is None:
            return 0.0
        return max(0.0, (self.last_at if self.ended else now) - self.started_at)

    @property
    def running(self) -> dict[int, tuple[str, int]]:
        """The running attempts: (worker id, attempt) by job id."""
        return {
            job_id: (one.worker_id or "", one.attempts)
            for job_id, one in self.jobs.items()
            if one.state is JobState.RUNNING
        }

    def open_job(self, config_id: ConfigId) -> int | None:
        """Return the id of the open job of a configuration; None if there is none."""
        for job_id, one in list(self.jobs.items()):
            if one.trial.config_id == config_id and not one.state.settled:
                return job_id
        return None

    def evaluation(self, job_id: int, output: str = "") -> EvaluationResult:
        """Return the result of one job, in the form that users get.

        ``output`` is its printed output, for states that do not keep it.
        """
        return self.jobs[job_id].result(self.first_at or 0.0, output)

    # ------------------------------------------------------------------ records

    def update(self, entries: Iterable[tuple[float, Record]]) -> None:
        """Apply (wall time in seconds since 1970, record) pairs; an observer of the loop."""
        with self.lock:
            for at, record in entries:
                self.apply(at, record)

    def apply(self, at: float, record: Record) -> None:
        """Apply a record that was made at ``at``, in seconds since 1970."""
        self.last_at = at
        if self.first_at is None:
            self.first_at = self.started_at = at
        match record:
            case JobCreated():
                self._job_created(at, record)
            case AttemptStarted():
                self._attempt_started(at, record)
            case AttemptEnded():
                self._attempt_ended(at, record)
            case WorkerChanged():
                self._worker_changed(record)
            case Controlled():
                self._controlled(record)
            case RunCreated():
                self.run, self._limits = record, dict(record.limits)
                self._sign = loss_sign(record.direction)
            case RunResumed():
                self.resumed, self.started_at, self.ended = record, at, None
            case RunEnded():
                self._run_ended(record)

    def _job_created(self, at: float, record: JobCreated) -> None:
        job = record.job
        if record.trial is not None:
            self._trials[job.trial_id] = record.trial
        trial = self._trials.get(job.trial_id) or Trial(job.trial_id, (0, 0, job.trial_id), {})
        self.jobs[job.job_id] = JobStatus(job, trial, at)
        key = job.bracket, job.rung
        if key not in self.rungs:
            self.rungs[key] = RungStatus(job.budget)
        self.rungs[key].counts[JobState.QUEUED] += 1
        self.counts[JobState.QUEUED] += 1

    def _attempt_started(self, at: float, record: AttemptStarted) -> None:
        one = self.jobs[record.job_id]
        self._move(one, JobState.RUNNING)
        one.attempts = record.attempt
        one.worker_id = record.worker_id
        one.started_at = at
        if worker := self.workers.get(record.worker_id):
            worker.holds[record.job_id] = record.attempt

    def _attempt_ended(self, at: float, record: AttemptEnded) -> None:
        one = self.jobs[record.job_id]
        if worker := self.workers.get(record.worker_id):
            worker.holds.pop(record.job_id, None)
            worker.done += record.final
        if not record.final:
            self._move(one, JobState.QUEUED)
            return
        self._move(one, settled_state(record.outcome))
        one.worker_id = record.worker_id or one.worker_id
        one.ended_at = at
        one.outcome = record.outcome
        one.seconds = record.seconds or None
        one.output = record.output if self._keep_output else ""
        if isinstance(record.outcome, Success):
            self._succeeded(at, one, record.outcome)
        elif isinstance(record.outcome, Failure):
            self.last_failure = one
            if one.state is JobState.FAILED:
                self.failures[record.outcome.kind] += 1

    def _move(self, one: JobStatus, state: JobState) -> None:
        rung = self.rungs[one.job.bracket, one.job.rung]
        for counts in (self.counts, rung.counts):
            counts[one.state] -= 1
            counts[state] += 1
        one.state = state

    def _succeeded(self, at: float, one: JobStatus, outcome: Success) -> None:
        job, trial = one.job, one.trial
        self.total_cost += cost_of(job, outcome)
        rank = rank_of(job.budget, outcome.loss, job.job_id, self._sign)
        if self._best_rank is not None and rank > self._best_rank:
            return
        self._best_rank = rank
        self.incumbents.append(
            Incumbent(
                job_id=job.job_id,
                trial_id=job.trial_id,
                config_id=trial.config_id,
                config=dict(trial.config),
                budget=job.budget,
                loss=outcome.loss,
                info=outcome.info,
                at=at - (self.first_at or 0.0),
                evaluations=self.evaluations,
                cost=self.total_cost,
            )
        )

    def _worker_changed(self, record: WorkerChanged) -> None:
        worker_id = record.worker.worker_id
        known = self.workers.setdefault(worker_id, WorkerStatus(record.worker, record.state))
        # After a restart a worker returns with the attempts that are assigned to it.
        returned = record.state == WorkerState.RETURNED
        known.info = record.worker
        known.state = WorkerState.JOINED if returned else record.state
        if record.state not in (WorkerState.QUARANTINED, WorkerState.RETURNED):
            known.holds.clear()

    def _run_ended(self, record: RunEnded) -> None:
        self.ended = record
        if self.finished:
            self.finished_iterations = self._limits.get("n_iterations") or 0

    def _controlled(self, record: Controlled) -> None:
        if record.command in (Command.PAUSE, Command.RESUME):
            self.paused = record.command == Command.PAUSE
        elif record.command in (Command.RETRY, Command.EXTEND):
            self.ended = None
        if record.command == Command.EXTEND:
            self._limits |= record.arguments

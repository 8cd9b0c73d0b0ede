"""The rows of `RunState`'s tables: a job, a worker, a rung."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from hpdist.core.model.states import JobState
from hpdist.core.model.values import Failure, Job, Outcome, Success, Trial, WorkerInfo
from hpdist.core.results.evaluation_result import EvaluationResult


@dataclass
class JobStatus:
    """A job, its trial and its latest attempt; times are in seconds since 1970.

    ``outcome``, ``seconds`` and ``output`` are those of the attempt that settled the job.
    """

    job: Job
    trial: Trial
    submitted_at: float
    state: JobState = JobState.QUEUED
    attempts: int = 0
    worker_id: str | None = None
    started_at: float | None = None
    ended_at: float | None = None
    outcome: Outcome | None = None
    seconds: float | None = None
    output: str = ""

    def result(self, run_start: float, output: str = "") -> EvaluationResult:
        """Return the result in the form that users get, with times since the start of the run."""
        job, trial = self.job, self.trial
        success = self.outcome if isinstance(self.outcome, Success) else None
        failure = self.outcome if isinstance(self.outcome, Failure) else None
        return EvaluationResult(
            job_id=job.job_id,
            trial_id=job.trial_id,
            config_id=trial.config_id,
            # Copies, so that a change to one evaluation does not show in another.
            config=dict(trial.config),
            config_info=dict(trial.config_info),
            bracket=job.bracket,
            rung=job.rung,
            budget=job.budget,
            submitted=self.submitted_at - run_start,
            retry_of=job.retry_of,
            state=self.state,
            attempts=self.attempts,
            worker=self.worker_id,
            started=None if self.started_at is None else self.started_at - run_start,
            ended=None if self.ended_at is None else self.ended_at - run_start,
            seconds=self.seconds,
            loss=success.loss if success else None,
            cost=success.cost if success else None,
            info=success.info if success else None,
            failure=failure.kind if failure else None,
            message=failure.message if failure else "",
            traceback=failure.traceback if failure else "",
            output=self.output or output,
        )


@dataclass
class WorkerStatus:
    """A worker that is or was part of the run.

    ``state`` is "joined", "quarantined", "left" or "lost"; ``holds`` maps the jobs assigned to it
    to attempts; ``done`` counts the jobs it settled.
    """

    info: WorkerInfo
    state: str
    holds: dict[int, int] = field(default_factory=dict)
    done: int = 0


@dataclass
class RungStatus:
    """The number of evaluations of one rung, by state."""

    budget: float
    counts: Counter[JobState] = field(default_factory=Counter)

    @property
    def created(self) -> int:
        return sum(self.counts.values())

    @property
    def settled(self) -> int:
        return sum(self.counts[state] for state in JobState if state.settled)

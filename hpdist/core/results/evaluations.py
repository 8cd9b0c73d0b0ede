"""What came of each evaluation, folded from a run's records. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hpdist.core.model.events import AttemptEnded, AttemptStarted, JobCreated, Record
from hpdist.core.model.validation import to_real
from hpdist.core.model.values import (
    ConfigId,
    Failure,
    FailureKind,
    JobState,
    JsonValue,
    Success,
    Trial,
    settled_state,
)


@dataclass(frozen=True)
class EvaluationResult:
    """One job and what came of it.

    ``loss`` has the user's sign. ``submitted``, ``started`` and ``ended`` are seconds since the
    run began, on the clock of the process that kept the journal; ``started`` is the last
    attempt's. ``seconds`` is that attempt's duration on its worker's clock. What is not known
    (yet) is None.
    """

    job_id: int
    trial_id: int
    config_id: ConfigId
    config: dict[str, JsonValue]
    config_info: dict[str, JsonValue]
    bracket: int
    rung: int
    budget: float
    submitted: float
    retry_of: int | None = None
    state: JobState = JobState.QUEUED
    attempts: int = 0
    worker: str | None = None
    started: float | None = None
    ended: float | None = None
    seconds: float | None = None
    loss: float | None = None
    cost: float | None = None
    info: JsonValue = None
    failure: FailureKind | None = None
    message: str = ""
    traceback: str = ""
    output: str = ""

    @property
    def informative(self) -> bool:
        """Whether it says something about its configuration: a loss, or a failure of its own."""
        return self.loss is not None or (self.failure is not None and self.failure.counts)

    def objective(self, name: str) -> float | None:
        """Return the value of an objective by its name; None where there is none."""
        if name == "loss" or self.loss is None:
            return self.loss
        info = self.info if isinstance(self.info, dict) else {}
        return to_real(info.get(name))


class EvaluationTable:
    """The evaluations of a run by job id, in the order in which they were decided on."""

    def __init__(self) -> None:
        self.rows: dict[int, EvaluationResult] = {}
        self._trials: dict[int, Trial] = {}

    def apply(self, at: float, record: Record) -> None:
        """Take notice of a record, made ``at`` seconds after the run began."""
        if isinstance(record, JobCreated):
            self._created(at, record)
        elif isinstance(record, AttemptStarted):
            self.rows[record.job_id] = replace(
                self.rows[record.job_id],
                state=JobState.RUNNING,
                attempts=record.attempt,
                worker=record.worker_id,
                started=at,
            )
        elif isinstance(record, AttemptEnded):
            self.rows[record.job_id] = _with_end(self.rows[record.job_id], at, record)

    def _created(self, at: float, record: JobCreated) -> None:
        job = record.job
        if record.trial is not None:
            self._trials[job.trial_id] = record.trial
        trial = self._trials.get(job.trial_id) or Trial(job.trial_id, (0, 0, job.trial_id), {})
        self.rows[job.job_id] = EvaluationResult(
            job_id=job.job_id,
            trial_id=job.trial_id,
            config_id=trial.config_id,
            # A copy: what is done to one evaluation's must not show in another's.
            config=dict(trial.config),
            config_info=dict(trial.config_info),
            bracket=job.bracket,
            rung=job.rung,
            budget=job.budget,
            submitted=at,
            retry_of=job.retry_of,
        )


def _with_end(one: EvaluationResult, at: float, record: AttemptEnded) -> EvaluationResult:
    if not record.final:
        return replace(one, state=JobState.QUEUED)
    one = replace(
        one,
        state=settled_state(record.outcome),
        worker=record.worker_id or one.worker,
        ended=at,
        seconds=record.seconds or None,
        output=record.output,
    )
    outcome = record.outcome
    if isinstance(outcome, Success):
        return replace(one, loss=outcome.loss, cost=outcome.cost, info=outcome.info)
    if isinstance(outcome, Failure):
        return replace(
            one, failure=outcome.kind, message=outcome.message, traceback=outcome.traceback
        )
    return one

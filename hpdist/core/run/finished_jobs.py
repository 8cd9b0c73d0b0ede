"""Finished jobs in the form that callbacks and result loggers take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hpdist.core.model.events import AttemptEnded, JobCreated, Record
from hpdist.core.model.values import Failure, Success, Trial
from hpdist.core.results.run_state import RunState
from hpdist.core.results.run_state_rows import JobStatus
from hpdist.core.run.user_callbacks import safe_call


@dataclass
class FinishedJob:
    """A job and its outcome, as callbacks and result loggers get it.

    ``result`` is a dict with ``loss`` and ``info``, or None; ``exception`` is then the reason with
    the traceback. ``timestamps`` has ``submitted``, ``started`` and ``finished``, in seconds since
    1970 on the dispatcher's clock. ``ended`` is the record of the attempt that settled it.
    """

    id: Any
    kwargs: dict[str, Any]
    result: dict[str, Any] | None = None
    exception: str | None = None
    timestamps: dict[str, float] = field(default_factory=dict)
    worker_name: str | None = None
    ended: AttemptEnded | None = field(default=None, repr=False, compare=False)

    def finish(self, record: AttemptEnded, at: float) -> FinishedJob:
        """Set the outcome."""
        self.timestamps["finished"] = at
        self.worker_name = record.worker_id
        self.ended = record
        outcome = record.outcome
        if isinstance(outcome, Success):
            self.result = {"loss": outcome.loss, "info": outcome.info}
            if outcome.cost is not None:
                self.result["cost"] = outcome.cost
        elif isinstance(outcome, Failure):
            parts = [f"{outcome.kind.value}: {outcome.message}", outcome.traceback]
            self.exception = "\n".join(filter(None, parts))
        return self


class JobStream:
    """An observer of the loop that calls back with new trials and finished jobs.

    Parameters
    ----------
    state
        Updated with the same records before this observer is called.
    on_trial, on_finished
        Called in the loop's thread with each new trial and each settled job.
    """

    def __init__(
        self,
        state: RunState,
        on_trial: Callable[[Trial], None],
        on_finished: Callable[[FinishedJob], None],
    ) -> None:
        self._state = state
        self._on_trial = on_trial
        self._on_finished = on_finished

    def observe(self, fresh: Sequence[tuple[float, Record]]) -> None:
        """Follow new records."""
        for at, record in fresh:
            if isinstance(record, JobCreated) and record.trial is not None:
                safe_call(self._on_trial, record.trial)
            elif isinstance(record, AttemptEnded) and record.final:
                job = self._state.jobs[record.job_id]
                safe_call(self._on_finished, unfinished_job(job).finish(record, at))

    def number_of(self, config_id: Any) -> int | None:
        """Return the number of the open job of a configuration; None if there is none."""
        wanted = tuple(config_id) if isinstance(config_id, list | tuple) else config_id
        return self._state.open_job(wanted)


def unfinished_job(one: JobStatus) -> FinishedJob:
    """Return a job without its outcome."""
    arguments = {
        "config": dict(one.trial.config),
        "config_info": dict(one.trial.config_info),
        "budget": one.job.budget,
    }
    timestamps = {"submitted": one.submitted_at}
    if one.started_at is not None:
        timestamps["started"] = one.started_at
    return FinishedJob(one.trial.config_id, arguments, timestamps=timestamps)

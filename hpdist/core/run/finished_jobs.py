"""Finished jobs in the form that callbacks and result loggers take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hpdist.core.model.events import AttemptEnded, AttemptStarted, JobCreated, Record
from hpdist.core.model.values import Failure, Success, Trial
from hpdist.core.run.user_callbacks import safe_call


@dataclass
class FinishedJob:
    """A job and its outcome, as callbacks and result loggers get it.

    ``result`` is a dict with ``loss`` and ``info``, or None; ``exception`` then says why, with the
    traceback. ``timestamps`` has ``submitted``, ``started`` and ``finished``, in seconds since 1970
    on the dispatcher's clock. ``ended`` is the record of the attempt that settled it.
    """

    id: Any
    kwargs: dict[str, Any]
    result: dict[str, Any] | None = None
    exception: str | None = None
    timestamps: dict[str, float] = field(default_factory=dict)
    worker_name: str | None = None
    ended: AttemptEnded | None = field(default=None, repr=False, compare=False)

    def finish(self, record: AttemptEnded, at: float) -> FinishedJob:
        """Enter the outcome."""
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
    """An observer that follows the records of a study, and calls back with its finished jobs.

    Parameters
    ----------
    on_trial, on_finished
        Called in the loop's thread with each new trial and each settled job.
    on_known
        Called with each job that was settled before a resume.
    """

    def __init__(
        self,
        on_trial: Callable[[Trial], None],
        on_finished: Callable[[FinishedJob], None],
        on_known: Callable[[FinishedJob], None] | None = None,
    ) -> None:
        self._on_trial = on_trial
        self._on_finished = on_finished
        self._on_known = on_known
        self._trials: list[Trial] = []
        self._jobs: dict[int, FinishedJob] = {}

    def observe(self, fresh: Sequence[tuple[float, Record]], *, quietly: bool = False) -> None:
        """Follow new records; ``quietly`` those of before a resume."""
        for at, record in fresh:
            if isinstance(record, JobCreated):
                self._created(record, at, quietly)
            elif isinstance(record, AttemptStarted):
                self._jobs[record.job_id].timestamps["started"] = at
            elif isinstance(record, AttemptEnded) and record.final:
                job = self._jobs.pop(record.job_id).finish(record, at)
                if not quietly:
                    safe_call(self._on_finished, job)
                elif self._on_known is not None:
                    self._on_known(job)

    def number_of(self, config_id: Any) -> int | None:
        """Return the number of the open job of a configuration; None if there is none."""
        wanted = tuple(config_id) if isinstance(config_id, list | tuple) else config_id
        return next((n for n, job in list(self._jobs.items()) if job.id == wanted), None)

    def _created(self, record: JobCreated, at: float, quietly: bool) -> None:
        if record.trial is not None:
            self._trials.append(record.trial)
            if not quietly:
                safe_call(self._on_trial, record.trial)
        trial = self._trials[record.job.trial_id]
        arguments: dict[str, Any] = {
            "config": dict(trial.config),
            "config_info": dict(trial.config_info),
            "budget": record.job.budget,
        }
        self._jobs[record.job.job_id] = FinishedJob(
            trial.config_id, arguments, timestamps={"submitted": at}
        )

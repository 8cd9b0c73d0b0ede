"""Records as a stream of jobs, in the form that callbacks and result loggers take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hpdist.core.dispatch.submitted_jobs import FinishedJob, finish, guarded
from hpdist.core.model.events import AttemptEnded, AttemptStarted, JobCreated, Record
from hpdist.core.model.values import Trial


class JobStream:
    """Follows the records of a study.

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
        self._on_trial, self._on_finished, self._on_known = on_trial, on_finished, on_known
        self._trials: list[Trial] = []
        self._jobs: dict[int, FinishedJob] = {}

    def observe(self, fresh: Sequence[tuple[float, Record]], *, quietly: bool = False) -> None:
        """Take notice of records; ``quietly`` for those of before a resume."""
        for at, record in fresh:
            if isinstance(record, JobCreated):
                self._created(record, at, quietly)
            elif isinstance(record, AttemptStarted):
                self._jobs[record.job_id].timestamps["started"] = at
            elif isinstance(record, AttemptEnded) and record.final:
                job = finish(self._jobs.pop(record.job_id), record, at)
                if not quietly:
                    guarded(self._on_finished, job)
                elif self._on_known is not None:
                    self._on_known(job)

    def number_of(self, config_id: Any) -> int | None:
        """The number of the open job of a configuration; None if there is none."""
        wanted = tuple(config_id) if isinstance(config_id, list | tuple) else config_id
        return next((n for n, job in list(self._jobs.items()) if job.id == wanted), None)

    def _created(self, record: JobCreated, at: float, quietly: bool) -> None:
        if record.trial is not None:
            self._trials.append(record.trial)
            if not quietly:
                guarded(self._on_trial, record.trial)
        trial = self._trials[record.job.trial_id]
        arguments: dict[str, Any] = {
            "config": dict(trial.config),
            "config_info": dict(trial.config_info),
            "budget": record.job.budget,
        }
        self._jobs[record.job.job_id] = FinishedJob(
            trial.config_id, arguments, timestamps={"submitted": at}
        )

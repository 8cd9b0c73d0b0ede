"""What is shown of a run, folded from its records. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from hpdist.core.model.events import AttemptEnded, Controlled, JobCreated, Record, RunCreated
from hpdist.core.model.values import ConfigId, Failure, Job, Limits
from hpdist.core.results.forecast import Forecast
from hpdist.core.results.summary import Summary


class RunView:
    """A run's numbers, what they are heading for, and the last failure.

    Attributes
    ----------
    path
        The run's directory.
    last_failure
        (config_id, budget, failure) of it; None if nothing failed in this session.
    """

    def __init__(self, path: Path, forecast: Forecast) -> None:
        self.path, self.forecast = path, forecast
        self.summary = Summary()
        self.last_failure: tuple[ConfigId, float, Failure] | None = None
        self._limits = Limits()
        self._open: dict[int, Job] = {}
        self._config_ids: dict[int, ConfigId] = {}

    def begin(self, records: Iterable[tuple[float, Record]]) -> None:
        """Take in the records of before this session."""
        self.apply(records)
        self.last_failure = None
        self.forecast.begin(self.summary)

    def apply(self, records: Iterable[tuple[float, Record]]) -> None:
        """Take notice of (wall time, record) pairs."""
        for at, record in records:
            self.summary.apply(at, record)
            if isinstance(record, JobCreated):
                self._created(record)
            elif isinstance(record, AttemptEnded) and record.final:
                self._settled(record)
            elif isinstance(record, RunCreated):
                self._set_limits(Limits(**record.limits))
            elif isinstance(record, Controlled) and record.command == "extend":
                self._set_limits(replace(self._limits, **record.arguments))

    def _created(self, record: JobCreated) -> None:
        self._open[record.job.job_id] = record.job
        if record.trial is not None:
            self._config_ids[record.trial.trial_id] = record.trial.config_id

    def _settled(self, record: AttemptEnded) -> None:
        job = self._open.pop(record.job_id)
        if isinstance(record.outcome, Failure):
            self.last_failure = (self._config_ids[job.trial_id], job.budget, record.outcome)

    def _set_limits(self, limits: Limits) -> None:
        self._limits = limits
        self.forecast.set_limits(limits)

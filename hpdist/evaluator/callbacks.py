"""Callbacks of an evaluator, called in the thread that submits and gathers its jobs."""

from __future__ import annotations

import csv
import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hpdist.core.model.errors import MissingExtra
from hpdist.core.model.validation import check_number, check_path, check_whole
from hpdist.evaluator.job import Job

logger = logging.getLogger(__name__)


class Callback:
    """Base class whose methods do nothing. Exceptions of callbacks are logged and ignored.

    Attributes
    ----------
    search_stopped
        Set by a callback to end a search: it submits no further job.
    """

    search_stopped = False

    def on_start(self, max_evals: int | None) -> None:
        """A search starts that will submit ``max_evals`` jobs; None if their number is open."""

    def on_launch(self, job: Job) -> None:
        """A job was submitted."""

    def on_done(self, job: Job) -> None:
        """A job ended."""

    def on_done_other(self, job: Job) -> None:
        """A job of another evaluator of the search ended."""

    def on_gather(self, local_jobs: list[Job], other_jobs: list[Job]) -> None:
        """Jobs were gathered."""

    def on_close(self) -> None:
        """The evaluator was closed."""


def notify(callbacks: Sequence[Callback], method: str, *arguments: Any) -> None:
    """Call a method of each callback; a failing one must not stop the search."""
    for callback in callbacks:
        try:
            getattr(callback, method)(*arguments)
        except Exception:
            logger.exception("%s of %r failed; the search goes on", method, callback)


class _Best(Callback):
    """Counts the ended jobs, and keeps the best objective."""

    def __init__(self) -> None:
        self.num_done = self.num_failures = 0
        self.best: float | None = None

    def on_done(self, job: Job) -> None:
        self.num_done += 1
        value = _value(job)
        if value is None:
            self.num_failures += 1
        elif self.best is None or value > self.best:
            self.best = value

    def on_done_other(self, job: Job) -> None:
        self.on_done(job)


class TqdmCallback(_Best):
    """A bar of tqdm with ``failures`` and the best ``objective`` (``pip install "hpdist[tqdm]"``).

    With several objectives, the best of the first.

    Raises
    ------
    MissingExtra
        If tqdm is not installed.
    """

    def __init__(self, description: str | None = None) -> None:
        super().__init__()
        try:
            from tqdm.auto import tqdm
        except ImportError as error:
            raise MissingExtra(
                "TqdmCallback needs the tqdm package", do='pip install "hpdist[tqdm]"'
            ) from error
        self._make = tqdm
        self._description = description
        self._bar: Any = None
        self._total: int | None = None

    def on_start(self, max_evals: int | None) -> None:
        self._total = None if max_evals is None else self.num_done + max_evals
        if self._bar is not None:
            self._bar.total = self._total

    def on_done(self, job: Job) -> None:
        super().on_done(job)
        if self._bar is None:
            self._bar = self._make(desc=self._description, total=self._total)
        best = {} if self.best is None else {"objective": self.best}
        self._bar.set_postfix(failures=self.num_failures, **best, refresh=False)
        self._bar.update(1)

    def on_close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class ProgressCallback(_Best):
    """A progress bar of rich."""

    def __init__(self) -> None:
        super().__init__()
        self._progress: Any = None
        self._task: Any = None
        self._total: int | None = None

    def on_start(self, max_evals: int | None) -> None:
        self._total = None if max_evals is None else self.num_done + max_evals

    def on_done(self, job: Job) -> None:
        super().on_done(job)
        if self._progress is None:
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

            columns = [BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}")]
            self._progress = Progress(*columns)
            self._progress.start()
            self._task = self._progress.add_task("", total=self._total)
        best = "" if self.best is None else f", best {self.best:.6g}"
        text = f"{self.num_failures} failed{best}"
        self._progress.update(
            self._task, completed=self.num_done, total=self._total, description=text
        )

    def on_close(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


class LoggerCallback(_Best):
    """A line of the log for each job that ends."""

    def on_done(self, job: Job) -> None:
        super().on_done(job)
        best = "none" if self.best is None else f"{self.best:.6g}"
        logger.info(
            "job %s %s: objective %s, best %s, %d done, %d failed",
            *(job.id, job.job_status, job.objective, best, self.num_done, self.num_failures),
        )


class CSVLoggerCallback(Callback):
    """A row of a CSV file for each job that ends, written at once.

    Its columns are ``job_id, job_status, objective`` (empty for a failure; of several objectives
    the first), the parameters of the first job, and the times.
    """

    _TIMES = ("timestamp_submit", "timestamp_start", "timestamp_end")

    def __init__(self, path: str | Path = "results.csv") -> None:
        self._path = check_path("path", path)
        self._names: list[str] | None = None

    def on_done(self, job: Job) -> None:
        new = self._names is None
        names = self._names = list(job.args) if self._names is None else self._names
        with self._path.open("w" if new else "a", newline="") as file:
            rows = csv.writer(file)
            if new:
                head = [*(f"p:{n}" for n in names), *(f"m:{n}" for n in self._TIMES)]
                rows.writerow(["job_id", "job_status", "objective", *head])
            values = (job.args.get(name) for name in names)
            times = (job.metadata.get(name) for name in self._TIMES)
            rows.writerow([job.id, job.job_status, _value(job), *values, *times])


class SearchEarlyStopping(_Best):
    """Stops a search that has not improved by more than ``threshold`` in ``patience`` jobs.

    Of several objectives the first counts.
    """

    def __init__(self, patience: int = 10, threshold: float = 0.0) -> None:
        super().__init__()
        self._patience = check_whole("patience", patience, minimum=1)
        self._threshold = check_number("threshold", threshold, minimum=0)
        self._reference = -math.inf
        self._without_improvement = 0

    def on_done(self, job: Job) -> None:
        super().on_done(job)
        self._without_improvement += 1
        if self.best is not None and self.best > self._reference + self._threshold:
            self._reference = self.best
            self._without_improvement = 0
        self.search_stopped = self._without_improvement >= self._patience


class TargetReached(_Best):
    """Stops a search that has found an objective of at least ``objective``."""

    def __init__(self, objective: float) -> None:
        super().__init__()
        self._target = check_number("objective", objective)

    def on_done(self, job: Job) -> None:
        super().on_done(job)
        self.search_stopped = self.best is not None and self.best >= self._target


def _value(job: Job) -> float | None:
    """The objective, or the first of several; None for a failure."""
    objective = job.objective[0] if isinstance(job.objective, tuple) else job.objective
    return None if isinstance(objective, str) else objective

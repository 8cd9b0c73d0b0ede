"""Views of a master's results while it runs: incumbents, a logger, a progress bar."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from hpdist.core.model.validation import check_callable, check_kind, maybe
from hpdist.core.model.values import Success, Trial
from hpdist.core.results.run_state import RunState
from hpdist.core.run.finished_jobs import FinishedJob
from hpdist.multi_fidelity import check_budget


def _by_budget(name: str, value: Any) -> dict[float, Any]:
    """Return a copy of a dict by budget with its keys checked; empty by default."""
    known = {} if value is None else check_kind(name, value, dict)
    return {check_budget(f"a budget in {name}", budget): each for budget, each in known.items()}


class ResultViews:
    """Follows jobs in the dispatcher's thread.

    Parameters
    ----------
    sign
        1 where losses are minimized, -1 where they are maximized.
    incumbents, performances
        Best configuration and its loss by budget; kept up to date.
    result_logger
        Called with each `FinishedJob`; its ``new_config`` with each new configuration.
    progress_callback
        Called with (done, planned), returns a context manager whose value has ``update(n)``.
    """

    def __init__(
        self,
        sign: float,
        incumbents: dict[float, dict[str, Any]] | None,
        performances: dict[float, float] | None,
        result_logger: Any,
        progress_callback: Any,
    ) -> None:
        self.sign = sign
        self.incumbents = _by_budget("incumbents", incumbents)
        self.performances = _by_budget("incumbent_performances", performances)
        self.result_logger: Any = maybe(
            check_callable, "result_logger", result_logger, takes="of a job"
        )
        self.progress_callback: Any = maybe(
            check_callable, "progress_callback", progress_callback, takes="of (done, planned)"
        )
        self._progress: Any = None

    def new_trial(self, trial: Trial) -> None:
        """Pass a new configuration to the result logger."""
        if hasattr(self.result_logger, "new_config"):
            self.result_logger.new_config(trial.config_id, trial.config, trial.config_info)

    def finished(self, job: FinishedJob) -> None:
        """Pass a settled job to the incumbents, the result logger and the progress bar."""
        if job.result is not None:
            self._note_incumbent(job.kwargs["budget"], job.result["loss"], job.kwargs["config"])
        if self.result_logger is not None:
            self.result_logger(job)
        if self._progress is not None:
            self._progress.update(1)

    def resumed(self, state: RunState) -> None:
        """Update the incumbents by the jobs that were settled in earlier sessions."""
        jobs = [job for job in state.jobs.values() if isinstance(job.outcome, Success)]
        for job in sorted(jobs, key=lambda job: job.ended_at or 0.0):
            assert isinstance(job.outcome, Success)
            self._note_incumbent(job.job.budget, job.outcome.loss, dict(job.trial.config))

    def _note_incumbent(self, budget: float, loss: float, config: dict[str, Any]) -> None:
        best = self.performances.get(budget)
        if best is None or self.sign * loss < self.sign * best:
            self.performances[budget] = loss
            self.incumbents[budget] = config

    @contextmanager
    def show_progress(self, done: int, planned: int) -> Iterator[None]:
        """Show progress for as long as the block lasts."""
        callback = self.progress_callback
        with nullcontext() if callback is None else callback(done, planned) as self._progress:
            try:
                yield
            finally:
                self._progress = None

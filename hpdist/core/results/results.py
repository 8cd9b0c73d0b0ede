"""The results of a run: an immutable view of its journal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hpdist.core.journal.format import Entry
from hpdist.core.journal.reader import check_intact, read_journal
from hpdist.core.journal.run_directory import RunDirectory
from hpdist.core.model.rank_and_cost import loss_sign
from hpdist.core.model.states import JobState
from hpdist.core.model.validation import check_path
from hpdist.core.model.values import JsonValue
from hpdist.core.results.evaluation_result import EvaluationResult, Incumbent
from hpdist.core.results.results_frame import evaluations_frame
from hpdist.core.results.run_state import RunState

if TYPE_CHECKING:
    import pandas as pd


class Results:
    """The results of a run, finished or not.

    Made by `read` or `from_records`. Changes of it, or of its return values, do not affect the
    journal.
    """

    def __init__(self, state: RunState, path: Path | None = None) -> None:
        self._state = state
        self._path = path
        self._evaluations = tuple(state.evaluation(job_id) for job_id in state.jobs)

    @classmethod
    def from_records(cls, records: Iterable[Entry], path: str | Path | None = None) -> Results:
        """Fold (wall time, record) pairs, as a journal keeps them."""
        state = RunState()
        state.update(records)
        return cls(state, None if path is None else Path(path))

    @classmethod
    def read(cls, path: str | Path) -> Results:
        """Read a run directory or a journal, also while the run goes on.

        Raises
        ------
        JournalDamaged, JournalVersion
            If the journal is damaged or of an unknown format.
        JournalError
            If there is none.
        """
        path = check_path("the path of a run", path)
        journal = RunDirectory(path).journal if path.is_dir() else path
        found = read_journal(journal)
        check_intact(journal, found)
        return cls.from_records(found.records, path)

    @property
    def run_id(self) -> str:
        """The name of the run; empty if the journal has no header."""
        return self._state.run.run_id if self._state.run else ""

    @property
    def direction(self) -> str:
        """``minimize`` or ``maximize``."""
        return self._state.direction

    @property
    def path(self) -> Path | None:
        """The path that the results were read from."""
        return self._path

    @property
    def reason(self) -> str | None:
        """How the run ended (finished, stopped, time_limit, failed); None if it has not."""
        return self._state.ended.reason if self._state.ended else None

    @property
    def started_at(self) -> float | None:
        """When the run started, in seconds since 1970 (UTC)."""
        return self._state.first_at

    @property
    def best(self) -> Incumbent | None:
        """The incumbent: of the largest budget that has a success, the best loss.

        Among equal losses it is the one that was created first. None if nothing succeeded.
        """
        return self._state.best

    @property
    def objectives(self) -> list[str]:
        """The names of the objectives, "loss" first."""
        return self._state.run.objectives if self._state.run else ["loss"]

    @property
    def pareto_front(self) -> list[EvaluationResult]:
        """The evaluations at the highest budget that no other one there dominates.

        Ordered by loss. With one objective: those with the best loss.
        """
        from hpdist.core.results.pareto_front import front

        top = [one for one in self._evaluations if one.loss is not None]
        highest = max((one.budget for one in top), default=None)
        return front([one for one in top if one.budget == highest], *self._compared)

    def hypervolume(self, reference: Sequence[float]) -> float:
        """Return the volume between the Pareto front and a point worse than all of it.

        Parameters
        ----------
        reference
            A value for each of `objectives`, with the user's signs.

        Raises
        ------
        ConfigurationError
            If its length is not the number of objectives.
        """
        from hpdist.core.results.pareto_front import volume

        return volume(self.pareto_front, reference, *self._compared)

    @property
    def _compared(self) -> tuple[list[str], float]:
        return self.objectives, loss_sign(self.direction)

    @property
    def incumbents(self) -> list[Incumbent]:
        """How the incumbent changed, oldest first."""
        return list(self._state.incumbents)

    @property
    def evaluations(self) -> list[EvaluationResult]:
        """All evaluations in the order in which they were created."""
        return list(self._evaluations)

    @property
    def failures(self) -> list[EvaluationResult]:
        """The evaluations that failed."""
        return [one for one in self._evaluations if one.state is JobState.FAILED]

    def observations(self) -> list[dict[str, JsonValue]]:
        """Return the observations that a later search may start from.

        Dicts with ``config``, ``budget`` and ``loss``, of all budgets. ``loss`` has the user's sign
        and is None for a failure; lost, cancelled and open evaluations are left out, since
        they carry no information about their configurations.
        """
        return [
            {"config": dict(one.config), "budget": one.budget, "loss": one.loss}
            for one in self._evaluations
            if one.informative
        ]

    def to_frame(self, *, utc: bool = False) -> pd.DataFrame:
        """Return a table with one row an evaluation.

        Parameters
        ----------
        utc
            Give ``submitted, started, ended`` as UTC time stamps instead of seconds since the
            start of the run.

        Returns
        -------
        frame
            Columns `COLUMNS`, then ``config.<name>`` for each hyperparameter; one that was not
            active in an evaluation is missing there. Then ``objective.<name>`` for all
            objectives but the loss.
        """
        return evaluations_frame(
            self._evaluations, self.objectives[1:], (self.started_at or 0.0) if utc else None
        )

    def __repr__(self) -> str:
        counts, failures = self._state.counts, self._state.failures
        states = [f"{counts[state]} {state.value}" for state in JobState if counts[state]]
        kinds = [f"{n} {kind.value}" for kind, n in failures.most_common() if n]
        lines = [
            f"Results of run {self.run_id!r} ({self.direction}), {self.reason or 'not ended'}",
            f"  best      {_best_text(self.best)}",
            f"  jobs      {', '.join(states) or 'none'}",
        ]
        lines += [f"  failures  {', '.join(kinds)}"] if kinds else []
        lines += [f"  path      {self.path}"] if self.path else []
        return "\n".join(lines)


def _best_text(best: Incumbent | None) -> str:
    if best is None:
        return "none: no evaluation succeeded (see .failures)"
    config = ", ".join(f"{name}={value!r}" for name, value in best.config.items())
    return f"loss {best.loss:g} at budget {best.budget:g} (trial {best.trial_id}): {config}"

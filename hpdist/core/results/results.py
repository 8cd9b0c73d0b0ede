"""What came of a run: an immutable view of its journal."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpdist.core.journal.format import Entry
from hpdist.core.journal.reader import read_journal, refuse
from hpdist.core.journal.run_directory import RunDirectory
from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.rank_and_cost import loss_sign
from hpdist.core.model.validation import check_path
from hpdist.core.model.values import FailureKind, JobState, JsonValue
from hpdist.core.results.evaluation_result import EvaluationResult, Incumbent
from hpdist.core.results.run_state import RunState

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "job_id",
    "trial",
    "config_id",
    "bracket",
    "rung",
    "budget",
    "loss",
    "cost",
    "submitted",
    "started",
    "ended",
    "seconds",
    "worker",
    "attempts",
    "state",
    "failure",
    "message",
)
"""The columns of `Results.to_frame`, before those of the configuration."""

_TIMES = ("submitted", "started", "ended")
_NUMBERS = ("budget", "loss", "cost", "seconds", *_TIMES)


class Results:
    """What came of a run, finished or not.

    Made by `read` or `from_records`; nothing that is done to it, or to what it returns, changes
    the journal.
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
        """Read a run directory or a journal; the run may be going on.

        Raises
        ------
        JournalDamaged, JournalVersion
            If the journal cannot be relied on.
        JournalError
            If there is none.
        """
        path = check_path("the path of a run", path)
        journal = RunDirectory(path).journal if path.is_dir() else path
        found = read_journal(journal)
        refuse(journal, found)
        return cls.from_records(found.records, path)

    @property
    def run_id(self) -> str:
        """The run's name; empty if the journal has no header."""
        return self._state.run.run_id if self._state.run else ""

    @property
    def direction(self) -> str:
        """``minimize`` or ``maximize``."""
        return self._state.direction

    @property
    def path(self) -> Path | None:
        """Where it was read from."""
        return self._path

    @property
    def reason(self) -> str | None:
        """How the run ended (finished, stopped, time_limit, failed); None if it has not."""
        return self._state.ended.reason if self._state.ended else None

    @property
    def started_at(self) -> float | None:
        """When the run began, in seconds since 1970 (UTC)."""
        return self._state.first_at

    @property
    def best(self) -> Incumbent | None:
        """The incumbent: of the largest budget that has a success, the best loss.

        Between equals the one that was decided on first. None if nothing succeeded.
        """
        return self._state.best

    @property
    def objectives(self) -> list[str]:
        """The names of what was minimized or maximized, "loss" first."""
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
        """All jobs in the order in which they were decided on."""
        return list(self._evaluations)

    @property
    def failures(self) -> list[EvaluationResult]:
        """The failed ones."""
        return [one for one in self._evaluations if one.state is JobState.FAILED]

    def observations(self) -> list[dict[str, JsonValue]]:
        """Return what a later search may start from: dicts with ``config, budget, loss``.

        All budgets are included. ``loss`` has the user's sign and is None for a failure; lost,
        cancelled and open evaluations are left out, since they say nothing.
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
            run began.

        Returns
        -------
        frame
            Columns `COLUMNS`, then ``config.<name>`` for each hyperparameter; one that was not
            active in an evaluation is missing there. Then ``objective.<name>`` for all
            objectives but the loss.
        """
        import pandas as pd

        rows = [_row(one) for one in self._evaluations]
        columns = {name: pd.Series([row[name] for row in rows]) for name in COLUMNS}
        for name in dict.fromkeys(name for one in self._evaluations for name in one.config):
            values = [one.config.get(name) for one in self._evaluations]
            # An int column with gaps would become one of floats.
            exact = all(isinstance(value, float | None) for value in values) or None not in values
            columns[f"config.{name}"] = pd.Series(values, dtype=None if exact else object)
        for name in self.objectives[1:]:
            columns[f"objective.{name}"] = pd.Series(
                [one.objective(name) for one in self._evaluations], dtype=float
            )
        frame = pd.DataFrame(columns).astype(dict.fromkeys(_NUMBERS, float))
        if utc:
            for name in _TIMES:
                seconds = frame[name] + (self.started_at or 0.0)
                frame[name] = pd.to_datetime(seconds, unit="s", utc=True)
        return frame

    def __repr__(self) -> str:
        counts, failures = self._state.counts, self._state.failures
        states = [f"{counts[state]} {state.value}" for state in JobState if counts[state]]
        kinds = [f"{n} {kind.value}" for kind, n in failures.most_common() if n]
        lines = [
            f"Results of run {self.run_id!r} ({self.direction}), {self.reason or 'not ended'}",
            f"  best      {_told(self.best)}",
            f"  jobs      {', '.join(states) or 'none'}",
        ]
        lines += [f"  failures  {', '.join(kinds)}"] if kinds else []
        lines += [f"  path      {self.path}"] if self.path else []
        return "\n".join(lines)


def warm_start_observations(
    source: str | Path | Results | pd.DataFrame, direction: str | None = None
) -> list[dict[str, Any]]:
    """Return observations of an earlier run for ``warm_start``.

    Parameters
    ----------
    source
        A run directory or journal, a `Results`, or a DataFrame with columns ``budget``, ``loss``
        and ``config.<name>`` such as `Results.to_frame` gives. Losses have the user's sign.
    direction
        Of the new search, if it is to be compared with that of the earlier run.

    Returns
    -------
    observations
        Dicts with ``config``, ``budget`` and ``loss``, as `Results.observations` gives them.

    Raises
    ------
    ConfigurationError
        If ``source`` is nothing of the kind, lacks a column, or had the other direction.
    JournalError
        If there is no journal that can be read.
    """
    if isinstance(source, str | Path):
        source = Results.read(source)
    if isinstance(source, Results):
        if direction not in (None, source.direction):
            raise ConfigurationError(
                f"a search to {direction} cannot start from run {source.run_id!r}, which was to "
                f"{source.direction}: its best would be taken for its worst"
            )
        return source.observations()
    columns = list(getattr(source, "columns", ()))
    configs = [name for name in columns if str(name).startswith("config.")]
    if not {"budget", "loss"} <= set(columns) or (len(source) and not configs):
        raise ConfigurationError(
            f"a warm start cannot be made from a {type(source).__name__} with columns {columns}",
            do="give a run directory, a Results, or a DataFrame with the columns budget, loss "
            "and config.<name>",
        )
    rows = source.astype(object).where(source.notna(), None).to_dict("records")
    return [_observation(row, configs) for row in rows if _says_something(row)]


def _row(one: EvaluationResult) -> dict[str, Any]:
    row = {name: getattr(one, name) for name in COLUMNS if name != "trial"}
    return row | {
        "trial": one.trial_id,
        "state": one.state.value,
        "failure": one.failure.value if one.failure else None,
    }


def _told(best: Incumbent | None) -> str:
    if best is None:
        return "none: no evaluation succeeded (.failures says why)"
    config = ", ".join(f"{name}={value!r}" for name, value in best.config.items())
    return f"loss {best.loss:g} at budget {best.budget:g} (trial {best.trial_id}): {config}"


def _says_something(row: Mapping[Any, Any]) -> bool:
    state = row.get("state", JobState.COMPLETED.value)
    settled = state in (JobState.COMPLETED.value, JobState.FAILED.value)
    return settled and row.get("failure") != FailureKind.LOST.value


def _observation(row: Mapping[Any, Any], configs: list[Any]) -> dict[str, Any]:
    config = {str(name).removeprefix("config."): _plain(row[name]) for name in configs}
    loss = row["loss"]
    return {
        "config": {name: value for name, value in config.items() if value is not None},
        "budget": float(row["budget"]),
        "loss": float(loss) if loss is not None and math.isfinite(loss) else None,
    }


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value

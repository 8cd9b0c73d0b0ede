"""The table of `Results.to_frame`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hpdist.core.results.evaluation_result import EvaluationResult

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


def evaluations_frame(
    evaluations: Sequence[EvaluationResult],
    objectives: Sequence[str],
    started_at: float | None = None,
) -> pd.DataFrame:
    """Return a table with one row an evaluation.

    Parameters
    ----------
    objectives
        Names of further objectives, each of which gets a column.
    started_at
        The start of the run in seconds since 1970; with it, times are UTC time stamps.
    """
    import pandas as pd

    frame = pd.DataFrame(_columns(evaluations, objectives)).astype(dict.fromkeys(_NUMBERS, float))
    if started_at is not None:
        for name in _TIMES:
            frame[name] = pd.to_datetime(frame[name] + started_at, unit="s", utc=True)
    return frame


def _columns(
    evaluations: Sequence[EvaluationResult], objectives: Sequence[str]
) -> dict[str, pd.Series[Any]]:
    import pandas as pd

    rows = [_row(one) for one in evaluations]
    columns = {name: pd.Series([row[name] for row in rows]) for name in COLUMNS}
    for name in dict.fromkeys(name for one in evaluations for name in one.config):
        values = [one.config.get(name) for one in evaluations]
        # An int column with gaps would become one of floats.
        exact = all(isinstance(value, float | None) for value in values) or None not in values
        columns[f"config.{name}"] = pd.Series(values, dtype=None if exact else object)
    for name in objectives:
        columns[f"objective.{name}"] = pd.Series(
            [one.objective(name) for one in evaluations], dtype=float
        )
    return columns


def _row(one: EvaluationResult) -> dict[str, Any]:
    row = {name: getattr(one, name) for name in COLUMNS if name != "trial"}
    return row | {
        "trial": one.trial_id,
        "state": one.state.value,
        "failure": one.failure.value if one.failure else None,
    }

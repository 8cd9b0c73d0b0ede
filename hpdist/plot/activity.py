"""What plots are drawn from: one table, whatever they are given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.rank_and_cost import loss_sign
from hpdist.core.model.validation import short_repr
from hpdist.core.results.results import Results

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("objective", "budget", "worker", "submitted", "begun", "over", "gathered")
"""``objective`` is better when larger, NaN for a failure; times are seconds from the start."""

_SEEDS = {
    "objective": "objective",
    "m:timestamp_submit": "submitted",
    "m:timestamp_gather": "gathered",
    "m:timestamp_start": "begun",
    "m:timestamp_end": "over",
}
_TIMELINE = {"engine_id": "worker", "rel_started": "begun", "rel_completed": "over"}


def activity(results: Any) -> pd.DataFrame:
    """Return a table with `COLUMNS`, a row for each evaluation that ended.

    Raises
    ------
    ConfigurationError
        If ``results`` is nothing that can be drawn.
    """
    import pandas as pd

    if isinstance(results, Results):
        return _of_results(results)
    if not isinstance(results, pd.DataFrame):
        raise ConfigurationError(
            f"{short_repr(results)} cannot be drawn",
            do="give Results, or a DataFrame of evaluations",
        )
    names = _TIMELINE if "rel_started" in results else _SEEDS
    table = results.rename(columns=names).reindex(columns=[*COLUMNS]).reset_index(drop=True)
    # a failure is told as text, "F...", where a number would be
    table["objective"] = pd.to_numeric(table["objective"], errors="coerce")
    return table


def _of_results(results: Results) -> pd.DataFrame:
    frame = results.to_frame()
    frame["objective"] = -loss_sign(results.direction) * frame["loss"].astype(float)
    frame = frame.rename(columns={"started": "begun", "ended": "over"})
    frame["gathered"] = frame["over"]
    return frame[frame["over"].notna()].reindex(columns=[*COLUMNS]).reset_index(drop=True)


def demand(table: pd.DataFrame, *columns: str) -> None:
    """Refuse a table in which one of these columns is missing.

    Raises
    ------
    ConfigurationError
        With the names of those that are.
    """
    missing = [name for name in columns if table[name].isna().all()]
    if not len(table) or missing:
        asked = {ours: theirs for theirs, ours in _SEEDS.items()}
        raise ConfigurationError(
            "there is nothing to draw",
            cause="no evaluation has ended, or none of them tells: " + ", ".join(columns),
            do="a DataFrame needs " + ", ".join(asked.get(name, name) for name in columns),
        )

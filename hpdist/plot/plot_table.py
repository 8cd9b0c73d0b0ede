"""The one table that all plots are drawn from, made of results or of a DataFrame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.rank_and_cost import loss_sign
from hpdist.core.model.validation import short_repr
from hpdist.core.results.results import Results

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("objective", "budget", "worker", "submitted", "started", "ended", "gathered")
"""``objective`` is better when larger, NaN for a failure; times are in seconds."""

_SEARCH_COLUMNS = {
    "objective": "objective",
    "m:timestamp_submit": "submitted",
    "m:timestamp_gather": "gathered",
    "m:timestamp_start": "started",
    "m:timestamp_end": "ended",
}
_TIMELINE_COLUMNS = {"engine_id": "worker", "rel_started": "started", "rel_completed": "ended"}


def plot_table(results: Any) -> pd.DataFrame:
    """Return a table with `COLUMNS`, a row for each evaluation that ended.

    Raises
    ------
    ConfigurationError
        If ``results`` cannot be drawn.
    """
    import pandas as pd

    if isinstance(results, Results):
        return _of_results(results)
    if not isinstance(results, pd.DataFrame):
        raise ConfigurationError(
            f"{short_repr(results)} cannot be drawn",
            do="give Results, or a DataFrame of evaluations",
        )
    names = _TIMELINE_COLUMNS if "rel_started" in results else _SEARCH_COLUMNS
    others = [name for name in results if name not in names.values() or name in names]
    table = results[others].rename(columns=names)
    table = table.reindex(columns=[*COLUMNS]).reset_index(drop=True)
    # A failure has a text, "F...", in place of the number.
    table["objective"] = pd.to_numeric(table["objective"], errors="coerce")
    return table


def _of_results(results: Results) -> pd.DataFrame:
    frame = results.to_frame()
    frame["objective"] = -loss_sign(results.direction) * frame["loss"].astype(float)
    frame["gathered"] = frame["ended"]
    return frame[frame["ended"].notna()].reindex(columns=[*COLUMNS]).reset_index(drop=True)


def require_columns(table: pd.DataFrame, *columns: str) -> None:
    """Check that a table has values in these columns.

    Raises
    ------
    ConfigurationError
        If it has not, with the names of the columns that it needs.
    """
    missing = [name for name in columns if table[name].isna().all()]
    if not len(table) or missing:
        given = {ours: theirs for theirs, ours in _SEARCH_COLUMNS.items()}
        raise ConfigurationError(
            "there is nothing to draw",
            cause="no evaluation has ended, or none of them has: " + ", ".join(columns),
            do="a DataFrame needs " + ", ".join(given.get(name, name) for name in columns),
        )

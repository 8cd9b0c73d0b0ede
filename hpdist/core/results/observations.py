"""Observations of an earlier run for ``warm_start``, from its directory, results or table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.states import FailureKind, JobState
from hpdist.core.results.results import Results

if TYPE_CHECKING:
    import pandas as pd


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
        Direction of the new search, if it is to be compared with that of the earlier run.

    Returns
    -------
    observations
        Dicts with ``config``, ``budget`` and ``loss``, as `Results.observations` gives them.

    Raises
    ------
    ConfigurationError
        If ``source`` is none of these, lacks a column, or had the other direction.
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
    return [_observation(row, configs) for row in rows if _is_informative(row)]


def _is_informative(row: Mapping[Any, Any]) -> bool:
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

"""Histograms of the durations of evaluations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.validation import check_whole
from hpdist.core.results.results import Results
from hpdist.plot.figures import axes_of
from hpdist.plot.plot_table import plot_table, require_columns


def plot_load_histograms(results: Any, bins: int = 16, ax: Any | None = None) -> tuple[Any, Any]:
    """Draw a histogram of durations; of several, below each other with one time axis.

    Parameters
    ----------
    results
        What the other plots take, or a dict of names and durations in seconds.
    ax
        One for each histogram, as `matplotlib.pyplot.subplots` returns them.

    Raises
    ------
    ConfigurationError
        If there is nothing to draw, or there are not as many axes.
    """
    bins = check_whole("bins", bins, minimum=1)
    loads = dict(results) if _named(results) else {"evaluations": _durations(results)}
    if not loads or any(len(seconds) == 0 for seconds in loads.values()):
        raise ConfigurationError("there is nothing to draw", cause="no durations are known")
    figure, axes = axes_of(None, len(loads)) if ax is None else (None, ax)
    axes = axes.ravel().tolist() if hasattr(axes, "ravel") else [axes]
    if len(axes) != len(loads):
        raise ConfigurationError(f"{len(loads)} histograms do not fit on {len(axes)} axes")
    for one, (name, seconds) in zip(axes, loads.items(), strict=True):
        one.hist(seconds, bins=bins, color="tab:blue", edgecolor="white")
        one.set_title(f"{name} ({len(seconds)})", fontsize="small")
        one.set_ylabel("Count")
    axes[-1].set_xlabel("Duration (seconds)")
    return figure or axes[0].figure, axes[0] if len(axes) == 1 else axes


def _named(results: Any) -> bool:
    return isinstance(results, Mapping) and not isinstance(results, Results)


def _durations(results: Any) -> list[float]:
    table = plot_table(results)
    require_columns(table, "started", "ended")
    durations: list[float] = (table["ended"] - table["started"]).dropna().tolist()
    return durations

"""The timetable plot: a row for each worker, a bar for each evaluation."""

from __future__ import annotations

from typing import Any

from hpdist.plot.figures import axes_of
from hpdist.plot.plot_table import plot_table, require_columns

_HEIGHT = 0.8


def lanes(started: list[float], ended: list[float]) -> list[int]:
    """Return a lane for each interval, as few as there can be, such that none overlap in one."""
    free: list[float] = []
    taken = [0] * len(started)
    for index in sorted(range(len(started)), key=lambda each: (started[each], ended[each])):
        lane = next((i for i, end in enumerate(free) if end <= started[index]), len(free))
        if lane == len(free):
            free.append(0.0)
        free[lane] = ended[index]
        taken[index] = lane
    return taken


def plot_timetable(results: Any, ax: Any | None = None) -> tuple[Any, Any]:
    """Draw a row for each worker and a bar for each evaluation, coloured by its order there.

    Bars of one colour above each other are workers that have done as many evaluations. Where it
    is not known which worker ran what, evaluations are put into as few rows as possible.

    Raises
    ------
    ConfigurationError
        If it is not known when evaluations started and ended.
    """
    table = plot_table(results)
    require_columns(table, "started", "ended")
    table = table[table["started"].notna() & table["ended"].notna()].copy()
    if table["worker"].isna().any():
        table["worker"] = lanes(table["started"].tolist(), table["ended"].tolist())
    table = table.sort_values("started", kind="stable")
    table["order"] = table.groupby("worker").cumcount()
    names = sorted(table["worker"].unique())
    figure, ax = axes_of(ax)
    import matplotlib

    shades = matplotlib.colormaps["viridis"].resampled(max(2, table["order"].max() + 1))
    for row, name in enumerate(names):
        bars = table[table["worker"] == name]
        ax.broken_barh(
            list(zip(bars["started"], bars["ended"] - bars["started"], strict=True)),
            (row - _HEIGHT / 2, _HEIGHT),
            facecolors=[shades(order) for order in bars["order"]],
            edgecolor="white",
            linewidth=0.3,
        )
    ax.set_yticks(range(len(names)), [str(name) for name in names])
    ax.set_xlabel("Time (seconds)")
    ax.set_ylabel("Worker")
    return figure, ax

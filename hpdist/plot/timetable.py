"""Who did what when."""

from __future__ import annotations

from typing import Any

from hpdist.plot.activity import activity, demand
from hpdist.plot.canvas import axes_of

_HEIGHT = 0.8


def lanes(begun: list[float], over: list[float]) -> list[int]:
    """Return a lane for each interval, as few as there can be, such that none overlap in one."""
    free: list[float] = []
    taken = [0] * len(begun)
    for index in sorted(range(len(begun)), key=lambda each: (begun[each], over[each])):
        lane = next((i for i, end in enumerate(free) if end <= begun[index]), len(free))
        if lane == len(free):
            free.append(0.0)
        free[lane], taken[index] = over[index], lane
    return taken


def plot_timetable(results: Any, ax: Any | None = None) -> tuple[Any, Any]:
    """Draw a row for each worker and a bar for each evaluation, coloured by its order there.

    Bars of one colour above each other are workers that have done as many evaluations. Where it
    is not known who did what, evaluations are put into as few rows as there can be.

    Raises
    ------
    ConfigurationError
        If it is not known when evaluations began and ended.
    """
    table = activity(results)
    demand(table, "begun", "over")
    table = table[table["begun"].notna() & table["over"].notna()].copy()
    if table["worker"].isna().any():
        table["worker"] = lanes(table["begun"].tolist(), table["over"].tolist())
    table = table.sort_values("begun", kind="stable")
    table["order"] = table.groupby("worker").cumcount()
    names = sorted(table["worker"].unique())
    figure, ax = axes_of(ax)
    import matplotlib

    shades = matplotlib.colormaps["viridis"].resampled(max(2, table["order"].max() + 1))
    for row, name in enumerate(names):
        bars = table[table["worker"] == name]
        ax.broken_barh(
            list(zip(bars["begun"], bars["over"] - bars["begun"], strict=True)),
            (row - _HEIGHT / 2, _HEIGHT),
            facecolors=[shades(order) for order in bars["order"]],
            edgecolor="white",
            linewidth=0.3,
        )
    ax.set_yticks(range(len(names)), [str(name) for name in names])
    ax.set_xlabel("Time (seconds)")
    ax.set_ylabel("Worker")
    return figure, ax

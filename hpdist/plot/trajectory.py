"""The trajectory plot: each evaluation, and the best one so far."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpdist.core.model.validation import check_choice
from hpdist.core.results.results import Results
from hpdist.plot.figures import axes_of
from hpdist.plot.plot_table import plot_table, require_columns

if TYPE_CHECKING:
    import pandas as pd


def plot_search_trajectory_single_objective_hpo(
    results: Any,
    mode: str | None = None,
    x_units: str = "evaluations",
    ax: Any | None = None,
    *,
    show_failures: bool = True,
    label: str | None = None,
) -> tuple[Any, Any]:
    """Draw each evaluation, and the best one so far as a line.

    The line knows evaluations at the highest budget only; those at lower ones are pale.

    Parameters
    ----------
    mode
        "max" draws the objective, "min" its negative, a loss; None for what the search did
        ("max" for a DataFrame).
    x_units
        "evaluations", in the order in which they ended, or "seconds".
    show_failures
        Whether failed evaluations are crosses at the worse end.

    Raises
    ------
    ConfigurationError
        If there is nothing to draw.
    """
    if mode is None:
        loss = isinstance(results, Results) and results.direction == "minimize"
        mode = "min" if loss else "max"
    mode = check_choice("mode", mode, ("min", "max"))
    x_units = check_choice("x_units", x_units, ("evaluations", "seconds"))
    table = _ordered(plot_table(results), x_units)
    x = table["when"] if x_units == "seconds" else table.index + 1.0
    y = table["objective"] if mode == "max" else -table["objective"]
    figure, ax = axes_of(ax)
    _draw(ax, table, x, y, mode, label or "best so far")
    failed = table["objective"].isna()
    if show_failures and failed.any():
        worse = y.min() if mode == "max" else y.max()
        ax.scatter(x[failed], [worse] * failed.sum(), marker="x", color="tab:red", label="failed")
    ax.set_xlabel("Time (seconds)" if x_units == "seconds" else "Evaluations")
    ax.set_ylabel("Objective" if mode == "max" else "Loss")
    ax.grid(alpha=0.3)
    ax.legend(loc="best", fontsize="small")
    return figure, ax


def _ordered(table: pd.DataFrame, x_units: str) -> pd.DataFrame:
    """Return the evaluations in the order in which they ended, a column "when" beside."""
    require_columns(table, "objective")
    table = table.assign(ended=table["ended"].fillna(table["gathered"]))
    if x_units == "seconds":
        require_columns(table, "ended")
    table = table.assign(when=table["ended"])
    return table.sort_values("when", kind="stable").reset_index(drop=True)


def _draw(ax: Any, table: pd.DataFrame, x: Any, y: Any, mode: str, label: str) -> None:
    highest = table["budget"].isna() | (table["budget"] == table["budget"].max())
    best = y.where(highest).cummax() if mode == "max" else y.where(highest).cummin()
    ax.scatter(x[highest], y[highest], s=16, alpha=0.7, color="tab:blue")
    if not highest.all():
        pale = {"s": 10, "alpha": 0.35, "color": "tab:gray", "label": "lower budgets"}
        ax.scatter(x[~highest], y[~highest], **pale)
    ax.step(x, best.ffill(), where="post", color="tab:orange", label=label)

"""The plot of the number of busy workers over time."""

from __future__ import annotations

from typing import Any

from hpdist.core.model.validation import check_choice, check_whole, maybe
from hpdist.plot.figures import axes_of
from hpdist.plot.plot_table import plot_table, require_columns

_PAIRS = {"start/end": ("started", "ended"), "submit/gather": ("submitted", "gathered")}


def busy_workers(started: Any, ended: Any) -> tuple[list[float], list[int]]:
    """Return times and how many evaluations ran from each on; an end comes before a start."""
    changes = sorted([(time, -1) for time in ended] + [(time, +1) for time in started])
    times, counts, count = [], [], 0
    for time, change in changes:
        count += change
        times.append(float(time))
        counts.append(count)
    return times, counts


def plot_worker_utilization(
    results: Any,
    num_workers: int | None = None,
    profile_type: str = "submit/gather",
    ax: Any | None = None,
) -> tuple[Any, Any]:
    """Draw how many workers were busy, or which share of ``num_workers``.

    Parameters
    ----------
    profile_type
        "start/end" of the evaluations on their workers, or "submit/gather", when they were
        submitted and their results taken: the difference is what the exchange costs.

    Raises
    ------
    ConfigurationError
        If these times are not known.
    """
    num_workers = maybe(check_whole, "num_workers", num_workers, minimum=1)
    started, ended = _PAIRS[check_choice("profile_type", profile_type, tuple(_PAIRS))]
    table = plot_table(results)
    require_columns(table, started, ended)
    known = table[table[started].notna() & table[ended].notna()]
    times, counts = busy_workers(known[started], known[ended])
    share = 1 if num_workers is None else num_workers
    figure, ax = axes_of(ax)
    ax.step(times, [count / share for count in counts], where="post", color="tab:green")
    ax.fill_between(
        times, [count / share for count in counts], step="post", alpha=0.2, color="tab:green"
    )
    ax.set_ylim(bottom=0)
    ax.set_xlabel("Time (seconds)")
    ax.set_ylabel("Active workers" if num_workers is None else "Utilization")
    ax.grid(alpha=0.3)
    return figure, ax

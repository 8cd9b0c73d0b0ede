"""How busy the workers were."""

from __future__ import annotations

from typing import Any

from hpdist.core.model.validation import check_choice, check_whole, maybe
from hpdist.plot.activity import activity, demand
from hpdist.plot.canvas import axes_of

_PAIRS = {"start/end": ("begun", "over"), "submit/gather": ("submitted", "gathered")}


def busy_workers(begun: Any, over: Any) -> tuple[list[float], list[int]]:
    """Return times and how many evaluations ran from each on; an end comes before a start."""
    changes = sorted([(time, -1) for time in over] + [(time, +1) for time in begun])
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
        asked for and their results taken: the difference is what handing over costs.

    Raises
    ------
    ConfigurationError
        If these times are not known.
    """
    num_workers = maybe(check_whole, "num_workers", num_workers, least=1)
    begun, over = _PAIRS[check_choice("profile_type", profile_type, tuple(_PAIRS))]
    table = activity(results)
    demand(table, begun, over)
    known = table[table[begun].notna() & table[over].notna()]
    times, counts = busy_workers(known[begun], known[over])
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

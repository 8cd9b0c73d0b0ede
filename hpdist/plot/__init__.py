"""Plots of a search: its losses over time, and the work of its workers (``hpdist[plot]``).

Each function takes `Results`, or a DataFrame with ``objective`` (larger is better) and
``m:timestamp_submit, m:timestamp_gather, m:timestamp_start, m:timestamp_end`` in seconds, or one
with ``engine_id, rel_started, rel_completed``; draws on ``ax`` (by default on a figure of its own)
and returns (figure, axes). Nothing is shown or saved. All of them draw from the table that
`plot_table` makes; open that first. May import `core.results` and what is below it.
"""

from hpdist.plot.figures import figure_size
from hpdist.plot.load_histograms import plot_load_histograms
from hpdist.plot.timetable import plot_timetable
from hpdist.plot.trajectory import plot_search_trajectory_single_objective_hpo
from hpdist.plot.utilization import plot_worker_utilization

__all__ = [
    "figure_size",
    "plot_load_histograms",
    "plot_search_trajectory_single_objective_hpo",
    "plot_timetable",
    "plot_worker_utilization",
]

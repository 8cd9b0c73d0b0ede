"""What a search found when, and how busy its workers were: ``python worker_utilization.py``.

Four processes of loky evaluate the Ackley function, which takes half a second on average. Two
panels show the best value so far and the share of busy workers, a second picture who did what.
Needs ``pip install "hpdist[loky,plot]"``.
"""

import time

import matplotlib
import numpy as np

from hpdist import Float, minimize
from hpdist.plot import (
    figure_size,
    plot_search_trajectory_single_objective_hpo,
    plot_timetable,
    plot_worker_utilization,
)

WORKERS = 4


def ackley(config, budget, ctx):
    time.sleep(max(0.0, np.random.default_rng(ctx.seed).normal(0.5, 0.125)))
    x = np.array([config["x0"], config["x1"]])
    wide = -20 * np.exp(-0.2 * np.sqrt(np.mean(x**2)))
    return float(wide - np.exp(np.mean(np.cos(2 * np.pi * x))) + 20 + np.e)


if __name__ == "__main__":
    matplotlib.use("agg")
    from matplotlib import pyplot

    space = {"x0": Float(-32.768, 32.768), "x1": Float(-32.768, 32.768)}
    results = minimize(ackley, space, n_trials=40, executor="loky", workers=WORKERS)
    print(results)

    figure, axes = pyplot.subplots(2, sharex=True, figsize=figure_size(600), tight_layout=True)
    plot_search_trajectory_single_objective_hpo(results, x_units="seconds", ax=axes[0])
    axes[0].set_xlabel("")
    plot_worker_utilization(results, num_workers=WORKERS, profile_type="start/end", ax=axes[1])
    figure.savefig("utilization.png", dpi=150)
    plot_timetable(results)[0].savefig("timetable.png", dpi=150)

"""How busy workers are while they search: ``python profile_worker_utilization.py``.

Processes of loky evaluate the Ackley function, which takes two seconds on average. ``@profile``
tells when each evaluation ran; a figure of two panels shows the best objective found by when, and
the share of busy workers. Needs ``pip install "hpdist[loky,plot,tqdm]"``.
"""

import argparse
import time

import matplotlib
import numpy as np

from hpdist.evaluator import Evaluator, profile
from hpdist.evaluator.callbacks import TqdmCallback
from hpdist.evaluator.search import CBO, HpProblem
from hpdist.plot import (
    figure_size,
    plot_search_trajectory_single_objective_hpo,
    plot_worker_utilization,
)


def ackley(x):
    wide = -20 * np.exp(-0.2 * np.sqrt(np.mean(x**2)))
    return wide - np.exp(np.mean(np.cos(2 * np.pi * x))) + 20 + np.e


@profile
def run_ackley(job, sleep_loc=2.0, sleep_scale=0.5):
    if sleep_loc > 0:
        time.sleep(max(0.0, np.random.default_rng().normal(sleep_loc, sleep_scale)))
    x = np.asarray_chkfinite([job[name] for name in job if name.startswith("x")])
    return -ackley(x)  # what is large is good


def make_problem(dimensions=2):
    problem = HpProblem()
    for index in range(dimensions):
        problem.add_hyperparameter((-32.768, 32.768), f"x{index}")
    return problem


def search(problem, timeout, num_workers, sleep_loc):
    evaluator = Evaluator.create(
        run_ackley,
        method="loky",  # takes functions by value, such as those of a script
        method_kwargs={
            "num_workers": num_workers,
            "callbacks": [TqdmCallback()],
            "run_function_kwargs": {"sleep_loc": sleep_loc, "sleep_scale": sleep_loc / 4},
        },
    )
    with evaluator:
        method = CBO(problem, evaluator, multi_point_strategy="qUCBd", random_state=42)
        return method.search(timeout=timeout)


def draw(results, num_workers, file):
    matplotlib.use("agg")
    from matplotlib import pyplot

    begin = results["m:timestamp_start"].min()
    results = results.assign(
        **{name: results[name] - begin for name in ("m:timestamp_start", "m:timestamp_end")}
    )
    figure, axes = pyplot.subplots(2, sharex=True, figsize=figure_size(600), tight_layout=True)
    plot_search_trajectory_single_objective_hpo(results, mode="min", x_units="seconds", ax=axes[0])
    axes[0].set_xlabel("")
    plot_worker_utilization(results, num_workers=num_workers, profile_type="start/end", ax=axes[1])
    figure.savefig(file, dpi=150)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    options.add_argument("--timeout", type=float, default=20.0)
    options.add_argument("--workers", type=int, default=4)
    options.add_argument("--sleep", type=float, default=2.0, help="seconds of an evaluation")
    options.add_argument("--figure", default="profile.png")
    given = options.parse_args()
    problem = make_problem()
    print(problem)
    results = search(problem, given.timeout, given.workers, given.sleep)
    print(results.sort_values("objective", ascending=False).head(3).to_string())
    done = results[results["job_status"] == "completed"]
    print(
        f"{len(done)} of {len(results)} evaluations completed, best {done['objective'].max():.3f}"
    )
    draw(results, given.workers, given.figure)

"""How many evaluations a second does each executor do, and how busy are its workers?

    python -m benchmarks executors [--workers 2] [--jobs 400] [--repeats 3]

Twice the same work: evaluations that return at once, and evaluations that wait 20 ms. Beside each
executor the bare library below it, with neither a journal nor an optimizer. The clock starts when
the workers are there: with the first evaluation, and ends with the last.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.quality.tables import table
from hpdist import minimize

RESULTS = Path(__file__).parent / "results"
WAIT_S = 0.02

EXECUTORS = ["serial", "thread", "process", "loky", "cluster", "folder", "dask", "ray"]
"""All but "mpi", which needs another start: see the README."""

OWN = ("serial", "cluster", "folder")
"""There is no library below these."""


def at_once(config: dict[str, Any]) -> dict[str, float]:
    """Return a loss without any work."""
    now = time.time()
    return {"loss": config["x"], "begun": now, "over": time.time()}


def waiting(config: dict[str, Any]) -> dict[str, float]:
    """Return a loss after a while."""
    begun = time.time()
    time.sleep(WAIT_S)
    return {"loss": config["x"], "begun": begun, "over": time.time()}


Work = Callable[[dict[str, Any]], dict[str, float]]


def hpdist_runs(executor: str, work: Work, workers: int, jobs: int) -> list[dict[str, float]]:
    """Return what the evaluations of a search say."""
    with tempfile.TemporaryDirectory() as directory:
        results = minimize(
            work,
            {"x": (0.0, 1.0)},
            n_trials=jobs,
            executor=executor,
            workers=1 if executor == "serial" else workers,
            optimizer="random",
            run=Path(directory) / "run",
            progress="none",
        )
        return [dict(each.info) for each in results.evaluations]


def bare_runs(pool: Any, work: Work, jobs: int) -> list[dict[str, float]]:
    """Return the same of the library below, once its workers are there."""
    with pool:
        list(pool.map(work, [{"x": 0.5}] * 8))
        return list(pool.map(work, [{"x": 0.5}] * jobs))


class RayPool:
    """Tasks of Ray, as much of a pool as is needed here."""

    def __init__(self, workers: int) -> None:
        import ray

        ray.init(address="local", num_cpus=workers, include_dashboard=False, log_to_driver=False)
        self._ray = ray

    def map(self, work: Work, items: Sequence[dict[str, Any]]) -> list[dict[str, float]]:
        remote = self._ray.remote(work)
        found: list[dict[str, float]] = self._ray.get([remote.remote(item) for item in items])
        return found

    def __enter__(self) -> RayPool:
        return self

    def __exit__(self, *_: object) -> None:
        self._ray.shutdown()


def bare(name: str, workers: int) -> Any:
    """Return the library that an executor is compared with."""
    if name == "dask":
        import distributed

        cluster = distributed.LocalCluster(workers, threads_per_worker=1, dashboard_address=None)
        return distributed.Client(cluster).get_executor(pure=False)
    if name == "ray":
        return RayPool(workers)
    if name == "mpi":
        from mpi4py.futures import MPIPoolExecutor

        return MPIPoolExecutor(workers)
    if name == "thread":
        return ThreadPoolExecutor(workers)
    if name == "process":
        return ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
    import loky

    return loky.ProcessPoolExecutor(workers)


def measured(runs: list[dict[str, float]], workers: int) -> tuple[float, float]:
    """Return evaluations a second, and the share of the workers' time spent in the objective."""
    took = max(run["over"] for run in runs) - min(run["begun"] for run in runs)
    busy = sum(run["over"] - run["begun"] for run in runs)
    return len(runs) / took, busy / (took * workers)


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks executors", description=__doc__)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--jobs", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--only", nargs="+", default=EXECUTORS, choices=[*EXECUTORS, "mpi"])
    chosen = parser.parse_args(arguments)
    lines = [["executor", "workers", "hpdist/s", "bare/s", "busy hpdist", "busy bare"]]
    for name in chosen.only:
        workers = 1 if name == "serial" else chosen.workers
        lines.append([name, str(workers), *_row(name, workers, chosen)])
    text = table(lines)
    print(text)
    if chosen.only == EXECUTORS:
        (chosen.results / "executors.txt").write_text(text + "\n")


def _row(name: str, workers: int, chosen: argparse.Namespace) -> list[str]:
    """Return medians over the repeats, ours and the library's in turn."""
    rates: dict[str, list[float]] = {"ours": [], "bare": []}
    shares: dict[str, list[float]] = {"ours": [], "bare": []}
    for _ in range(chosen.repeats):
        for work, taken, which in ((at_once, rates, 0), (waiting, shares, 1)):
            runs = hpdist_runs(name, work, workers, chosen.jobs)
            taken["ours"].append(measured(runs, workers)[which])
            if name not in OWN:
                others = bare_runs(bare(name, workers), work, chosen.jobs)
                taken["bare"].append(measured(others, workers)[which])
    cells = [f"{statistics.median(rates['ours']):,.0f}", _median(rates["bare"], ",.0f")]
    return [*cells, f"{statistics.median(shares['ours']):.0%}", _median(shares["bare"], ".0%")]


def _median(values: list[float], form: str) -> str:
    return format(statistics.median(values), form) if values else "-"

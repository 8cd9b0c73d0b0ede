"""How many evaluations a second does each executor do, and how busy are its workers?

    python -m benchmarks executors [--workers 2] [--jobs 400] [--repeats 3]

Twice the same work: evaluations that return at once, and evaluations that wait 20 ms. Beside each
executor the bare library below it, with neither a journal nor an optimizer: given one call after
the other for each worker, as a search must that learns from its results, and given all at once. The
clock starts when the workers are there: with the first evaluation, and ends with the last.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
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


def bare_runs(name: str, work: Work, workers: int, jobs: int, ahead: int) -> list[dict[str, float]]:
    """Return the same of the library below, with so many calls under way."""
    with bare(name, workers) as pool:
        called(pool, work, 8, 8)  # so that its workers are there
        return called(pool, work, jobs, ahead)


def called(pool: Any, work: Work, jobs: int, ahead: int) -> list[dict[str, float]]:
    """Call a function so often, ``ahead`` calls at a time, each followed by the next."""
    under_way = {pool.submit(work, {"x": 0.5}) for _ in range(ahead)}
    left, found = jobs - ahead, []
    while under_way:
        done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
        for each in done:
            found.append(each.result())
            if left > 0:
                left -= 1
                under_way.add(pool.submit(work, {"x": 0.5}))
    return found


class RayPool:
    """Tasks of Ray, as much of a pool as is needed here."""

    def __init__(self, workers: int) -> None:
        import ray

        ray.init(address="local", num_cpus=workers, include_dashboard=False, log_to_driver=False)
        self._ray = ray

    def submit(self, work: Work, config: dict[str, Any]) -> Future[dict[str, float]]:
        future: Future[dict[str, float]] = self._ray.remote(work).remote(config).future()
        return future

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
    lines = [["executor", "workers", "/s", "busy", "bare /s", "bare busy", "all at once /s"]]
    for name in chosen.only:
        workers = 1 if name == "serial" else chosen.workers
        lines.append([name, str(workers), *_row(name, workers, chosen)])
    text = table(lines)
    print(text)
    if chosen.only == EXECUTORS:
        (chosen.results / "executors.txt").write_text(text + "\n")


def _row(name: str, workers: int, chosen: argparse.Namespace) -> list[str]:
    """Return medians over the repeats, ours and the library's in turn."""
    rounds = [_round(name, workers, chosen.jobs) for _ in range(chosen.repeats)]
    medians = [statistics.median(values) for values in zip(*rounds, strict=True)]
    forms = (",.0f", ".0%", ",.0f", ".0%", ",.0f")
    cells = [format(value, form) for value, form in zip(medians, forms, strict=False)]
    return cells + ["-"] * (len(forms) - len(cells))


def _round(name: str, workers: int, jobs: int) -> list[float]:
    """Measure once: ours, then the library below if there is one."""
    found = [
        measured(hpdist_runs(name, at_once, workers, jobs), workers)[0],
        measured(hpdist_runs(name, waiting, workers, jobs), workers)[1],
    ]
    if name not in OWN:
        found += [
            measured(bare_runs(name, at_once, workers, jobs, workers), workers)[0],
            measured(bare_runs(name, waiting, workers, jobs, workers), workers)[1],
            measured(bare_runs(name, at_once, workers, jobs, jobs), workers)[0],
        ]
    return found

"""The front door to a search without any server: `run`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hpdist.core.dispatch.executor import Executor
from hpdist.core.journal.run_directory import RunDirectory
from hpdist.core.model.validation import check_path, check_whole, maybe
from hpdist.core.model.values import Configuration, Limits, Timing
from hpdist.core.objective.objective import Objective, objective_of
from hpdist.core.results.forecast import Forecast
from hpdist.core.results.progress import make_progress
from hpdist.core.results.results import Results
from hpdist.core.run.definition import (
    Search,
    check_time_limit,
    choose_generator,
    choose_limits,
    gather_warm_start,
)
from hpdist.core.run.local_run import LocalRun
from hpdist.core.space.space import Space
from hpdist.folder.participant import TIMING, Participant, runners_of
from hpdist.multi_fidelity import IterGenerator
from hpdist.optimizers import Optimizer


def run(
    objective: Callable[..., object] | Objective | str,
    space: Any,
    directory: str | Path,
    *,
    min_budget: float | None = None,
    max_budget: float | None = None,
    eta: float = 3,
    iter_generator: IterGenerator | None = None,
    optimizer: Optimizer | str = "auto",
    n_iterations: int | None = None,
    n_trials: int | None = None,
    n_evaluations: int | None = None,
    max_cost: float | None = None,
    time_limit: float | None = None,
    target_loss: float | None = None,
    direction: str = "minimize",
    seed: int = 0,
    initial_configs: Sequence[Configuration] = (),
    warm_start: Any = (),
    workers: int = 1,
    isolation: str = "process",
    job_timeout: float | None = None,
    memory_limit: int | None = None,
    max_evaluations_per_run: int | None = None,
    timing: Timing = TIMING,
    on_change: str = "error",
) -> Results:
    """Work on the search in a shared directory, with whoever else does; no server, no port.

    Any number of processes, on any machines that see the directory, call this with the same
    arguments; they come and go. One of them holds the journal and decides what is evaluated next,
    beside its own evaluations; when it dies another one goes on within ``timing.lease_s`` seconds.

    Parameters
    ----------
    directory
        The run's directory.
    workers
        How many evaluations this process runs at once.
    max_evaluations_per_run
        How many evaluations this process runs before it leaves.
    timing
        When a silent process is given up.

    All other parameters are those of `hpdist.minimize`.

    Returns
    -------
    results
        What is known when the search ends, or when this process leaves it.

    Raises
    ------
    HpdistError
        As `hpdist.minimize`.
    """
    called = objective_of(objective)
    path = check_path("directory", directory)
    workers = check_whole("workers", workers, least=1)
    most = maybe(check_whole, "max_evaluations_per_run", max_evaluations_per_run, least=1)
    generator = choose_generator(iter_generator, min_budget, max_budget, eta)
    asked = Limits(n_iterations, n_trials, n_evaluations, max_cost, target_loss)
    time_limit_s = check_time_limit(time_limit)

    def make_run(executor: Executor) -> LocalRun:
        search = Search(
            Space.of(space),
            generator,
            optimizer,
            called,
            choose_limits(generator, asked, time_limit),
            direction,
            seed,
            initial_configs,
            gather_warm_start(warm_start, direction),
        )
        return LocalRun(
            search,
            RunDirectory(path),
            executor,
            make_progress("none", path, Forecast(generator, time_limit_s)),
            keep_limits=asked == Limits() and time_limit is None,
            on_change=on_change,
            time_limit_s=time_limit_s,
            timing=timing,
        )

    runners = runners_of(called, workers, isolation, job_timeout, memory_limit)
    return Participant(path, make_run, runners, timing=timing, max_evaluations=most).run()

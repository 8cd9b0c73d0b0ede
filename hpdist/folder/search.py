"""`run`: a search in a shared directory, without a server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hpdist.core.dispatch.executor import Executor
from hpdist.core.model.limits_and_timing import FOLDER_TIMING, Retry, Timing
from hpdist.core.model.validation import check_path, check_whole, maybe
from hpdist.core.model.values import Configuration
from hpdist.core.objective.objective import Objective, objective_of
from hpdist.core.results.results import Results
from hpdist.core.run.local_run import LocalRun
from hpdist.core.run.options import (
    EvaluationOptions,
    RunOptions,
    RunPolicy,
    SearchOptions,
    TimeLimits,
)
from hpdist.core.run.prepare import define_search, generator_of, prepare_run
from hpdist.core.run.user_callbacks import Callback
from hpdist.core.study.early_stopping import StoppingRule
from hpdist.executors.registry import workers_of
from hpdist.folder.participant import Participant, runners_of
from hpdist.multi_fidelity import IterGenerator
from hpdist.optimizers import Optimizer


def run(  # noqa: PLR0913 - a public signature
    objective: Callable[..., object] | Objective | str,
    space: Any,
    directory: str | Path,
    *,
    min_budget: float | None = None,
    max_budget: float | None = None,
    eta: float = SearchOptions.eta,
    iter_generator: IterGenerator | None = None,
    optimizer: Optimizer | str = SearchOptions.optimizer,
    n_iterations: int | None = None,
    n_trials: int | None = None,
    n_evaluations: int | None = None,
    max_cost: float | None = None,
    time_limit: float | None = None,
    target_loss: float | None = None,
    direction: str = SearchOptions.direction,
    seed: int = SearchOptions.seed,
    initial_configs: Sequence[Configuration] = SearchOptions.initial_configs,
    warm_start: Any = SearchOptions.warm_start,
    early_stopping: StoppingRule | str | None = None,
    objectives: Sequence[str] = SearchOptions.objectives,
    workers: int | None = None,
    isolation: str = EvaluationOptions.isolation,
    job_timeout: float | None = None,
    memory_limit: int | None = None,
    max_evaluations_per_run: int | None = None,
    timing: Timing = FOLDER_TIMING,
    retry: Retry | None = None,
    grace: float = TimeLimits.grace,
    on_change: str = RunPolicy.on_change,
    retry_failed: bool = RunPolicy.retry_failed,
    progress: str = "none",
    callbacks: Sequence[Callback] = RunPolicy.callbacks,
) -> Results:
    """Work on the search in a shared directory with other processes; no server, no port.

    Any number of processes, on any machines that see the directory, call this with the same
    arguments, and may start and end at any time. One of them is the leader: it writes the journal
    and decides what is evaluated next, beside its own evaluations; when it dies another process
    takes over within ``timing.lease_s`` seconds.

    Parameters
    ----------
    directory
        The run's directory.
    workers
        Number of concurrent evaluations of this process; default: one per CPU.
    max_evaluations_per_run
        Number of evaluations after which this process leaves; default: no limit.
    timing
        After how long a silent process counts as dead.
    callbacks
        Called with each settled evaluation, in the process that is the leader then.
    progress
        As for `hpdist.minimize`, shown by the leader.

    All other parameters are those of `hpdist.minimize`.

    Returns
    -------
    results
        The results when the search ends, or when this process leaves it.

    Raises
    ------
    HpdistError
        As `hpdist.minimize`.
    """
    max_per_run = maybe(check_whole, "max_evaluations_per_run", max_evaluations_per_run, minimum=1)
    path = check_path("directory", directory)
    options = RunOptions.of({**locals(), "executor": "folder"})
    called = objective_of(objective)
    generator_of(options)  # checks the budgets; only the leader reads the space
    return take_part(
        options,
        called,
        path,
        lambda executor: prepare_run(options, define_search(options), path, executor),
        max_per_run,
    )


def take_part(
    options: RunOptions,
    objective: Objective,
    path: Path,
    make_run: Callable[[Executor], LocalRun],
    max_evaluations: int | None = None,
) -> Results:
    """Work on the search in ``path`` until it ends, or this process has evaluated enough.

    Parameters
    ----------
    make_run
        Makes the run that this process drives when it is elected.
    """
    evaluation, timing = options.evaluation, options.timing or FOLDER_TIMING
    runners = runners_of(
        objective,
        workers_of(options.executor),
        evaluation.isolation,
        evaluation.job_timeout,
        evaluation.memory_limit,
    )
    return Participant(
        path,
        make_run,
        runners,
        timing=timing,
        max_evaluations=max_evaluations,
    ).run()

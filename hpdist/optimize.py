"""The front door: `minimize` and `maximize`; who evaluates a search is bound here to its name."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

from hpdist.core.dispatch.executor import Executor
from hpdist.core.journal.run_directory import RunDirectory
from hpdist.core.journal.run_names import default_directory
from hpdist.core.model.limits_and_timing import Retry, Timing
from hpdist.core.model.values import Configuration
from hpdist.core.objective.objective import Objective
from hpdist.core.results.results import Results
from hpdist.core.run.definition import Search
from hpdist.core.run.executor_names import refuse_ignored
from hpdist.core.run.local_run import LocalRun
from hpdist.core.run.options import (
    EvaluationOptions,
    ExecutorOptions,
    RunOptions,
    RunPolicy,
    SearchOptions,
    TimeLimits,
    changed,
    check_names,
)
from hpdist.core.run.prepare import define_search, prepare_run
from hpdist.core.run.resume import OpenRun
from hpdist.core.run.user_callbacks import Callback
from hpdist.core.study.early_stopping import StoppingRule
from hpdist.executors.registry import FACTORIES, executor_for, workers_of
from hpdist.multi_fidelity import IterGenerator
from hpdist.optimizers import Optimizer

P = ParamSpec("P")


def _optimize(  # noqa: PLR0913 - a public signature
    direction: str,
    objective: Callable[..., object] | Objective | str,
    space: Any,
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
    workers: int | None = None,
    executor: str | Executor = ExecutorOptions.executor,
    run: str | Path | None = None,
    resume: str = RunPolicy.resume,
    seed: int = SearchOptions.seed,
    job_timeout: float | None = None,
    memory_limit: int | None = None,
    isolation: str = EvaluationOptions.isolation,
    initial_configs: Sequence[Configuration] = SearchOptions.initial_configs,
    warm_start: Any = SearchOptions.warm_start,
    early_stopping: StoppingRule | str | None = None,
    objectives: Sequence[str] = SearchOptions.objectives,
    prefetch: int = EvaluationOptions.prefetch,
    callbacks: Sequence[Callback] = RunPolicy.callbacks,
    progress: str = RunPolicy.progress,
    on_change: str = RunPolicy.on_change,
    retry_failed: bool = RunPolicy.retry_failed,
    address: str | None = None,
    resources: Mapping[str, float] | None = None,
    timing: Timing | None = None,
    retry: Retry | None = None,
    grace: float = TimeLimits.grace,
) -> Results:
    return carry_out(RunOptions.of(locals()))


@dataclass(frozen=True)
class Task:
    """A search that is ready to run, but for who evaluates it.

    Attributes
    ----------
    objective
        What the processes that evaluate call.
    keep_limits
        Leave a resumed run's limits as they were.
    on_open
        Called when the journal is this process's, before anything starts.
    """

    options: RunOptions
    search: Search
    objective: Objective
    path: Path
    keep_limits: bool = False
    on_open: Callable[[OpenRun], None] = lambda run: None

    def on(self, executor: Executor) -> LocalRun:
        """Return the run of this search on an executor."""
        run = prepare_run(
            self.options, self.search, self.path, executor, keep_limits=self.keep_limits
        )
        return replace(run, on_open=self.on_open)


def carry_out(
    options: RunOptions,
    *,
    objective: Objective | None = None,
    keep_limits: bool = False,
    on_open: Callable[[OpenRun], None] = lambda run: None,
) -> Results:
    """Carry out the search that options describe, with the executor that they name.

    Parameters
    ----------
    objective
        What the processes that evaluate call, where that is another object than the search's.
    keep_limits, on_open
        As for `Task`.
    """
    name = options.executor.executor
    search = define_search(options)
    refuse_ignored(name, changed(options.executor, options.evaluation, options.listening))
    called = search.objective
    assert called is not None
    run = options.policy.run
    directory = RunDirectory(default_directory(called) if run is None else run)
    task = Task(options, search, objective or called, directory.path, keep_limits, on_open)
    return RUNNERS.get(name, _on_executor)(task) if isinstance(name, str) else _on_executor(task)


def _on_executor(task: Task) -> Results:
    """Run a search on an executor of this process's own."""
    options = task.options
    made = executor_for(task.objective, task.path, options.executor, options.evaluation)
    return task.on(made).run()


def _on_cluster(task: Task) -> Results:
    """Run a search on workers that dial in, those that are started here among them."""
    from hpdist.cluster.local_cluster import own_cluster, reference_of
    from hpdist.cluster.service import Listening

    options, where = task.options, task.options.listening
    host = own_cluster(
        reference_of(task.objective),
        task.path,
        workers_of(options.executor),
        changed(options.evaluation),
        Listening(where.host, where.nic, where.port),
        options.timing,
    )
    results = task.on(host).run()
    if host.failure is not None:
        raise host.failure
    return results


def _in_folder(task: Task) -> Results:
    """Run a search with all processes that work in its directory."""
    from hpdist.folder.search import take_part

    return take_part(task.options, task.objective, task.path, task.on)


RUNNERS: Mapping[str, Callable[[Task], Results]] = {
    **dict.fromkeys(FACTORIES, _on_executor),
    "cluster": _on_cluster,
    "folder": _in_folder,
}
"""Who carries out a search, by the name of its executor."""


def _directed(
    body: Callable[Concatenate[str, P], Results],
) -> Callable[[Callable[..., Results]], Callable[P, Results]]:
    """Give a function the arguments of ``body`` but for the direction."""
    signature = inspect.signature(body)
    _, *parameters = signature.parameters.values()
    names = [parameter.name for parameter in parameters]

    def decorate(function: Callable[..., Results]) -> Callable[P, Results]:
        @functools.wraps(function)
        def checked(*arguments: P.args, **options: P.kwargs) -> Results:
            check_names(function.__name__, options, names)
            return function(*arguments, **options)

        vars(checked)["__signature__"] = signature.replace(parameters=parameters)
        return checked

    return decorate


@_directed(_optimize)
def minimize(*arguments: Any, **options: Any) -> Results:
    """Search for the configuration with the smallest loss, on this machine.

    Everything that happens is in the run's journal before it has an effect. The same call again
    goes on where the last one ended, however it ended; once the search has finished, it returns
    the results at once, unless its limits are larger than before.

    Parameters
    ----------
    objective
        ``f(config)``, ``f(config, budget)`` or ``f(config, budget, ctx)``, which returns the loss,
        or a dict with ``loss`` and, if wanted, ``cost`` and ``info``; or the name of such a
        function: "module:function" or "path/to/file.py:function".
    space
        What `hpdist.core.space.space.Space.of` takes, for instance
        ``{"lr": Float(1e-5, 0.1, log=True), "opt": ["sgd", "adam"]}``.
    min_budget, max_budget, eta
        With both budgets the iteration generator is ``Hyperband(min_budget, max_budget, eta)``.
    iter_generator
        Chooses budgets. Without it, and without budgets, each configuration is evaluated once.
    optimizer
        Chooses configurations: a name, or an object that was built with the space.
    n_iterations, n_trials, n_evaluations, max_cost, target_loss
        Limits, see `hpdist.Limits`. Without any, and without ``time_limit``, the iteration
        generator's own number of iterations; a run that is resumed keeps those it has.
    time_limit
        Seconds after which nothing new is started; each call has its own.
    workers
        How many evaluations run at once; default: one on each CPU.
    executor
        "process", "thread", "serial", "loky", "dask", "ray", "mpi", or an executor object; or
        "cluster": worker processes of their own, which others on any machine may join
        (``hpdist worker``), all there is with ``workers=0``; or "folder": no server at all,
        others join by the same call, see `hpdist.folder.run`.
    run
        The run's directory; default: ``hpdist-runs/`` and the name of the script, or of the
        function where there is no script.
    resume
        "auto" goes on with a run that is there; "never" refuses to; "must" insists on it.
    seed
        Decides all random choices.
    job_timeout, memory_limit
        Seconds and bytes that an evaluation may take (``executor="process"`` and ``"loky"``).
    isolation
        "process" evaluates in child processes, "none" in threads.
    initial_configs
        Configurations to evaluate first.
    warm_start
        Earlier runs to learn from: a path, `Results` or DataFrame, or a list of these.
    early_stopping
        Ends evaluations that do not promise by what they tell ``ctx.report``: "median", "rungs",
        or a rule of `hpdist.core.study.early_stopping`.
    objectives
        "loss", and other keys of the dict that the objective returns which are to be small, too:
        the results have a Pareto front then.
    prefetch
        How many evaluations each worker is given ahead.
    callbacks
        Called with each settled evaluation, an `EvaluationResult`, in the calling thread; what
        they raise is logged.
    progress
        "bar" (a live display), "log" (a line every 30 s), "none", or "auto": "bar" on a terminal.
    on_change
        When the run's journal has another optimizer, iteration generator, seed or objective:
        "error", or "continue" with the new one.
    retry_failed
        Evaluate again, on a run that is resumed, what failed before.
    address, resources
        With Dask and Ray: which cluster (default: one made here), and what each evaluation asks
        of it, such as ``{"GPU": 1}``.
    timing
        When a silent worker is given up, see `hpdist.Timing`.
    retry
        How often an evaluation is tried, see `hpdist.Retry`.
    grace
        Seconds that running evaluations have when the time limit is reached.

    Returns
    -------
    results
        What came of the run, from its beginning; read ``results.reason`` for how it ended.

    Raises
    ------
    ConfigurationError
        If something cannot work; nothing was started then.
    JournalError
        If the run's journal is in use, damaged, or another search's.
    KeyboardInterrupt
        At the second Ctrl-C. The first one waits for what runs, and returns the results.
    """
    return _optimize("minimize", *arguments, **options)


@_directed(_optimize)
def maximize(*arguments: Any, **options: Any) -> Results:
    """Search for the configuration with the largest value of the objective.

    As `minimize`, but for the sign: what is called loss there and in the results is the value
    that the objective returned, and ``target_loss`` is reached from below.
    """
    return _optimize("maximize", *arguments, **options)

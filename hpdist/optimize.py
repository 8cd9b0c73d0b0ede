"""The front door: `minimize` and `maximize` put the parts together, and do nothing else."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

from hpdist.core.dispatch.executor import Executor
from hpdist.core.journal.run_directory import RunDirectory
from hpdist.core.journal.run_names import default_directory
from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.validation import check_callable, check_list, check_whole, maybe, short_repr
from hpdist.core.model.values import Configuration, Limits
from hpdist.core.objective.multi_objective import ONE
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
from hpdist.core.run.local_run import Callback, LocalRun
from hpdist.core.space.space import Space
from hpdist.core.study.early_stopping import StoppingRule, make_rule
from hpdist.executors.registry import available_cpus, check_evaluation, make_executor, refuse
from hpdist.multi_fidelity import IterGenerator
from hpdist.optimizers import Optimizer

P = ParamSpec("P")


def _optimize(
    direction: str,
    objective: Callable[..., object] | Objective | str,
    space: Any,
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
    workers: int | None = None,
    executor: str | Executor = "process",
    run: str | Path | None = None,
    resume: str = "auto",
    seed: int = 0,
    job_timeout: float | None = None,
    memory_limit: int | None = None,
    isolation: str = "process",
    initial_configs: Sequence[Configuration] = (),
    warm_start: Any = (),
    early_stopping: StoppingRule | str | None = None,
    objectives: Sequence[str] = ONE,
    prefetch: int = 0,
    callbacks: Sequence[Callback] = (),
    progress: str = "auto",
    on_change: str = "error",
    address: str | None = None,
    resources: Mapping[str, float] | None = None,
) -> Results:
    called = objective_of(objective)
    generator = choose_generator(iter_generator, min_budget, max_budget, eta)
    limits = Limits(n_iterations, n_trials, n_evaluations, max_cost, target_loss)
    search = Search(
        Space.of(space),
        generator,
        optimizer,
        called,
        choose_limits(generator, limits, time_limit),
        direction,
        seed,
        initial_configs,
        gather_warm_start(warm_start, direction),
        _heard(early_stopping, executor),
        objectives,
    )
    directory = RunDirectory(default_directory(called) if run is None else run)
    time_limit_s = check_time_limit(time_limit)
    evaluation: dict[str, Any] = {
        "isolation": isolation,
        "job_timeout": job_timeout,
        "memory_limit": memory_limit,
        "prefetch": prefetch,
    }
    connection: dict[str, Any] = {"address": address, "resources": resources}

    def local(chosen: Executor) -> LocalRun:
        return LocalRun(
            search,
            directory,
            chosen,
            make_progress(progress, directory.path, Forecast(generator, time_limit_s)),
            callbacks=_callables(callbacks),
            keep_limits=limits == Limits() and time_limit is None,
            resume=resume,
            on_change=on_change,
            time_limit_s=time_limit_s,
        )

    if isinstance(executor, str) and executor in ("cluster", "folder"):
        refuse(f'executor="{executor}"', connection, 'use executor="dask" or "ray"')
        evaluation = check_evaluation(**evaluation)
        run_on = _in_folder if executor == "folder" else _on_cluster
        return run_on(called, local, directory.path, workers, evaluation)
    made = make_executor(
        executor, called, directory.path, workers=workers, **connection, **evaluation
    )
    return local(made).run()


def _on_cluster(
    objective: Objective,
    local: Callable[[Executor], LocalRun],
    path: Path,
    workers: int | None,
    evaluation: dict[str, Any],
) -> Results:
    """Run a search on workers that dial in, those that are started here among them."""
    from hpdist.cluster.local_cluster import own_cluster, reference_of

    count = maybe(check_whole, "workers", workers, least=0)
    count = available_cpus() if count is None else count
    host = own_cluster(reference_of(objective), path, count, evaluation)
    run = replace(local(host), on_open=host.take_over, observers=[host.observe], timing=host.timing)
    results = run.run()
    if host.failure is not None:
        raise host.failure
    return results


def _in_folder(
    objective: Objective,
    local: Callable[[Executor], LocalRun],
    path: Path,
    workers: int | None,
    evaluation: dict[str, Any],
) -> Results:
    """Run a search with whoever else works in its directory."""
    from hpdist.folder.participant import Participant, runners_of

    if evaluation.pop("prefetch"):
        refuse('executor="folder"', {"prefetch": True}, "leave it out")
    count = maybe(check_whole, "workers", workers, least=1)
    count = available_cpus() if count is None else count
    return Participant(path, local, runners_of(objective, count, **evaluation)).run()


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
            if unknown := [name for name in options if name not in names]:
                raise _no_argument(function.__name__, unknown[0], names)
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
        "process", "thread", "serial", "loky", "dask", "ray", "mpi" or an executor, see
        `hpdist.executors.registry`; or "cluster": worker processes of their own, which others on
        any machine may join (``hpdist worker``), all there is with ``workers=0``; or "folder":
        no server at all, others join by the same call, see `hpdist.folder.run`.
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
    address, resources
        With Dask and Ray: which cluster (default: one made here), and what each evaluation asks
        of it, such as ``{"GPU": 1}``.

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


def _no_argument(function: str, name: str, names: Sequence[str]) -> ConfigurationError:
    close = difflib.get_close_matches(name, names, n=1)
    return ConfigurationError(
        f"{function} has no argument {short_repr(name)}",
        do=f"did you mean {close[0]}?" if close else f"choose from {', '.join(names)}",
    )


def _heard(rule: StoppingRule | str | None, executor: object) -> StoppingRule | None:
    """Refuse a rule where nobody listens while an objective runs."""
    rule = make_rule(rule)
    if rule is not None and executor == "serial":
        raise ConfigurationError(
            "early_stopping has no effect with executor='serial'",
            cause="the objective runs in the thread that would have to judge its reports",
            do="executor='thread' or 'process', with workers=1 if it has to be one at a time",
        )
    return rule


def _callables(callbacks: Sequence[Callback]) -> Sequence[Callback]:
    if callable(callbacks):
        raise ConfigurationError(
            f"callbacks must be a list, got {short_repr(callbacks)}", do="callbacks=[...]"
        )
    listed = check_list("callbacks", callbacks, of="functions")
    return [check_callable("a callback", each, "of an EvaluationResult") for each in listed]

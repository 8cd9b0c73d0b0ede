"""Creates executors by name, except clusters and folders, which `optimize` creates."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hpdist.core.dispatch.executor import Executor
from hpdist.core.model.errors import ConfigurationError
from hpdist.core.objective.objective import Objective
from hpdist.core.run.executor_names import refuse_ignored
from hpdist.core.run.options import (
    EvaluationOptions,
    ExecutorOptions,
    changed,
    check_names,
    take,
)
from hpdist.executors.backends.dask import DaskBackend
from hpdist.executors.backends.external_executor import Backend, Connection, ExternalExecutor
from hpdist.executors.backends.mpi import MpiBackend
from hpdist.executors.backends.ray import RayBackend
from hpdist.executors.local import LocalExecutor
from hpdist.executors.loky import LokyExecutor
from hpdist.executors.serial import SerialExecutor

Factory = Callable[[Objective, Path, ExecutorOptions, EvaluationOptions], Executor]


def make_executor(
    executor: str | Executor, objective: Objective, root: Path, **options: Any
) -> Executor:
    """Return the executor called ``executor``; an executor object is returned as it is.

    Parameters
    ----------
    executor
        A name of `FACTORIES`.
    root
        The run's directory.
    options
        Those of `ExecutorOptions` and `EvaluationOptions`, by their names.

    Raises
    ------
    ConfigurationError
        If there is no such executor, or it does not support an option.
    """
    placement = take(ExecutorOptions, {**options, "executor": executor})
    evaluation = take(EvaluationOptions, options)
    check_names("an executor", options, [*vars(placement), *vars(evaluation)])
    return executor_for(objective, root, placement, evaluation)


def executor_for(
    objective: Objective, root: Path, placement: ExecutorOptions, evaluation: EvaluationOptions
) -> Executor:
    """Return the executor that checked options ask for."""
    refuse_ignored(placement.executor, changed(placement, evaluation))
    if not isinstance(placement.executor, str):
        return placement.executor
    if (factory := FACTORIES.get(placement.executor)) is None:
        raise ConfigurationError(
            f'executor="{placement.executor}" needs a run of its own',
            do=f"use hpdist.minimize, hpdist run, or one of {', '.join(FACTORIES)}",
        )
    return factory(objective, root, placement, evaluation)


def available_cpus() -> int:
    """Return how many CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def workers_of(placement: ExecutorOptions) -> int:
    """Return how many evaluations run at once: by default one on each CPU."""
    return available_cpus() if placement.workers is None else placement.workers


def _limits_of(evaluation: EvaluationOptions) -> dict[str, Any]:
    chosen = asdict(evaluation)
    return {name: chosen[name] for name in ("job_timeout", "memory_limit", "prefetch")}


def _serial(
    objective: Objective, root: Path, placement: ExecutorOptions, evaluation: EvaluationOptions
) -> Executor:
    return SerialExecutor(objective, root)


def _local(
    objective: Objective, root: Path, placement: ExecutorOptions, evaluation: EvaluationOptions
) -> Executor:
    kind = LokyExecutor if placement.executor == "loky" else LocalExecutor
    return kind(
        objective,
        workers_of(placement),
        root=root,
        isolation="none" if placement.executor == "thread" else evaluation.isolation,
        **_limits_of(evaluation),
    )


def _remote(system: Callable[[Connection], Backend]) -> Factory:
    """Return the factory of an executor whose processes another framework starts."""

    def make(
        objective: Objective, root: Path, placement: ExecutorOptions, evaluation: EvaluationOptions
    ) -> Executor:
        where = {"address": placement.address, "resources": placement.resources}
        given = {name: value for name, value in where.items() if value is not None}
        return ExternalExecutor(
            system(Connection(**given)),  # type: ignore[arg-type]
            str(placement.executor),
            objective,
            placement.workers,
            root=root,
            **_limits_of(evaluation),
        )

    return make


FACTORIES: Mapping[str, Factory] = {
    "process": _local,
    "thread": _local,
    "serial": _serial,
    "loky": _local,
    "dask": _remote(DaskBackend),
    "ray": _remote(RayBackend),
    "mpi": _remote(MpiBackend),
}
"""Factories of executors by name, except those of other packages."""

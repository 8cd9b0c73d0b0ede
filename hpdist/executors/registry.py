"""Which executor runs the attempts of a search on this machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hpdist.core.dispatch.executor import Executor
from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.validation import (
    check_kind,
    check_name,
    check_number,
    check_whole,
    maybe,
    short_repr,
)
from hpdist.core.objective.limits import check_attempt_limits, check_isolation
from hpdist.core.objective.objective import Objective
from hpdist.executors.backends.dask import DaskSystem
from hpdist.executors.backends.executor import Connection, FarExecutor, System
from hpdist.executors.backends.mpi import MpiSystem
from hpdist.executors.backends.ray import RaySystem
from hpdist.executors.local import LocalExecutor
from hpdist.executors.loky import LokyExecutor
from hpdist.executors.serial import SerialExecutor

NAMES = ("process", "thread", "serial", "loky", "dask", "ray", "mpi")
"""Those that can be chosen by name."""

SYSTEMS: dict[str, Callable[[Connection], System]] = {
    "dask": DaskSystem,
    "ray": RaySystem,
    "mpi": MpiSystem,
}
"""Those that bring processes of their own."""


def make_executor(
    executor: str | Executor,
    objective: Objective,
    root: Path,
    *,
    workers: int | None = None,
    isolation: str = "process",
    job_timeout: float | None = None,
    memory_limit: int | None = None,
    prefetch: int = 0,
    address: str | None = None,
    resources: Mapping[str, float] | None = None,
) -> Executor:
    """Return the executor called ``executor``; one that is made already is returned as it is.

    Parameters
    ----------
    executor
        "process": each worker has a child process (or, with ``isolation="none"``, a thread);
        "thread": each worker is a thread; "serial": one after another in the caller's thread;
        "loky": each worker has a process of the loky package (``pip install "hpdist[loky]"``);
        "dask", "ray", "mpi": on a cluster of that kind (``pip install "hpdist[dask]"``, ...).
    root
        The run's directory.
    workers
        None for the number of CPUs that this process may use, 1 with "serial", or as many as a
        cluster has room for.
    address, resources
        Which cluster, and what each evaluation asks of it; see
        `hpdist.executors.backends.executor.Connection`.

    Raises
    ------
    ConfigurationError
        If there is no such executor, or it cannot do what is asked.
    """
    workers = maybe(check_whole, "workers", workers, least=1)
    options = check_evaluation(isolation, job_timeout, memory_limit, prefetch)
    isolation = options.pop("isolation")
    connection = _connection(address, resources)
    if not isinstance(executor, str):
        refuse("an executor that is made already", {"workers": workers, **options, **connection})
        return checked_executor(executor)
    if executor not in SYSTEMS:
        refuse(f'executor="{executor}"', connection, 'use executor="dask" or "ray"')
    if executor == "serial":
        refuse('executor="serial"', {"workers": None if workers == 1 else workers, **options})
        return SerialExecutor(objective, root)
    if executor not in NAMES:
        raise ConfigurationError(
            f"{short_repr(executor)} is no executor", do=f"choose one of {', '.join(NAMES)}"
        )
    if executor in ("loky", *SYSTEMS) and isolation == "none":
        refuse(f'executor="{executor}"', {"isolation": isolation})
    if executor in SYSTEMS:
        system = SYSTEMS[executor](Connection(**connection))
        return FarExecutor(system, executor, objective, workers, root=root, **options)
    kind = LokyExecutor if executor == "loky" else LocalExecutor
    return kind(
        objective,
        available_cpus() if workers is None else workers,
        root=root,
        isolation="none" if executor == "thread" else isolation,
        **options,
    )


def check_evaluation(
    isolation: str, job_timeout: float | None, memory_limit: int | None, prefetch: int
) -> dict[str, Any]:
    """Return these by their names, checked."""
    return {
        "isolation": check_isolation(isolation),
        **check_attempt_limits(job_timeout, memory_limit),
        "prefetch": check_whole("prefetch", prefetch, least=0),
    }


def available_cpus() -> int:
    """How many CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def checked_executor(executor: Any) -> Executor:
    """Return an object that runs attempts, or refuse it."""
    methods = (getattr(executor, name, None) for name in ("start", "perform", "close"))
    if isinstance(executor, type) or not all(map(callable, methods)):
        raise ConfigurationError(
            f"{short_repr(executor)} is no executor",
            do=f"choose one of {', '.join(NAMES)}, or give an object with start, perform and close",
        )
    made: Executor = executor
    return made


def _connection(address: object, resources: object) -> dict[str, Any]:
    """Return what of a cluster was asked for, checked."""
    given: dict[str, Any] = {}
    if address is not None:
        given["address"] = check_name("address", address)
    if resources is not None:
        named: dict[str, Any] = check_kind("resources", resources, dict, do='resources={"GPU": 1}')
        given["resources"] = {
            check_name("a resource", name): check_number(f"resources[{name!r}]", amount, least=0)
            for name, amount in named.items()
        }
    return given


def refuse(
    who: str,
    options: dict[str, Any],
    do: str = 'leave them out, or use executor="process"',
) -> None:
    """Refuse options that would be ignored."""
    given = [f"{name}={value!r}" for name, value in options.items() if value]
    if given:
        raise ConfigurationError(
            f"{who} cannot take {', '.join(given)}",
            do=do,
        )

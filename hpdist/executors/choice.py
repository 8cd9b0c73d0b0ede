"""Which executor runs the attempts of a search on this machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hpdist.attempt_limits import check_attempt_limits, check_isolation
from hpdist.checks import check_whole, maybe, shown
from hpdist.errors import ConfigurationError
from hpdist.executors.base import Executor
from hpdist.executors.local import LocalExecutor
from hpdist.executors.loky import LokyExecutor
from hpdist.executors.serial import SerialExecutor
from hpdist.objective import Objective

NAMES = ("process", "thread", "serial", "loky")
"""Those that can be chosen by name."""


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
) -> Executor:
    """Return the executor called ``executor``; one that is made already is returned as it is.

    Parameters
    ----------
    executor
        "process": each worker has a child process (or, with ``isolation="none"``, a thread);
        "thread": each worker is a thread; "serial": one after another in the caller's thread;
        "loky": each worker has a process of the loky package (``pip install "hpdist[loky]"``).
    root
        The run's directory.
    workers
        None for the number of CPUs that this process may use, or 1 with "serial".

    Raises
    ------
    ConfigurationError
        If there is no such executor, or it cannot do what is asked.
    """
    workers = maybe(check_whole, "workers", workers, least=1)
    isolation = check_isolation(isolation)
    options: dict[str, Any] = {
        **check_attempt_limits(job_timeout, memory_limit),
        "prefetch": check_whole("prefetch", prefetch, least=0),
    }
    if not isinstance(executor, str):
        _refuse("an executor that is made already", {"workers": workers, **options})
        return _checked(executor)
    if executor == "serial":
        _refuse('executor="serial"', {"workers": None if workers == 1 else workers, **options})
        return SerialExecutor(objective, root)
    if executor == "cluster":
        raise ConfigurationError(
            'executor="cluster" needs processes that wait for workers',
            do="use hpdist.Master, or: hpdist run SCRIPT",
        )
    if executor not in NAMES:
        raise ConfigurationError(
            f"{shown(executor)} is no executor", do=f"choose one of {', '.join(NAMES)}"
        )
    if executor == "loky" and isolation == "none":
        _refuse('executor="loky"', {"isolation": isolation})
    kind = LokyExecutor if executor == "loky" else LocalExecutor
    return kind(
        objective,
        available_cpus() if workers is None else workers,
        root=root,
        isolation="none" if executor == "thread" else isolation,
        **options,
    )


def available_cpus() -> int:
    """How many CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _checked(executor: Any) -> Executor:
    methods = (getattr(executor, name, None) for name in ("start", "perform", "close"))
    if isinstance(executor, type) or not all(map(callable, methods)):
        raise ConfigurationError(
            f"{shown(executor)} is no executor",
            do=f"choose one of {', '.join(NAMES)}, or give an object with start, perform and close",
        )
    made: Executor = executor
    return made


def _refuse(who: str, options: dict[str, Any]) -> None:
    """Refuse options that would be ignored."""
    given = [f"{name}={value!r}" for name, value in options.items() if value]
    if given:
        raise ConfigurationError(
            f"{who} cannot take {', '.join(given)}",
            do='leave them out, or use executor="process"',
        )

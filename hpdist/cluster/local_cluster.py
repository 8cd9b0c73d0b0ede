"""A cluster on this machine: nameserver, dispatcher and workers; others may join."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hpdist.cluster.discovery import RunAddress
from hpdist.cluster.run_host import RunHost
from hpdist.cluster.service import Listening, Service
from hpdist.cluster.worker_processes import WorkerProcesses
from hpdist.core.journal.run_names import safe_run_id
from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.limits_and_timing import Timing
from hpdist.core.objective.objective import FunctionObjective, ImportedObjective, Objective
from hpdist.executors.registry import available_cpus

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def own_cluster(
    reference: str,
    path: Path,
    workers: int,
    options: Mapping[str, Any],
    listening: Listening | None = None,
    timing: Timing | None = None,
) -> RunHost:
    """Return the executor of a run whose workers connect, ``workers`` of them started here.

    Parameters
    ----------
    reference
        "path/file.py:function" or "module:function": what workers evaluate.
    options
        Options of ``hpdist worker`` by name; None for those that are not given.
    """
    processes = None
    if workers:
        arguments = [reference, "--run", str(path), *_arguments(options)]
        processes = WorkerProcesses(workers, arguments, path, _threads(workers))
    run_address = RunAddress(safe_run_id(path.resolve().name), directory=path)
    listening = listening or Listening()
    # A requested port is for the nameserver.
    service = Service(run_address, replace(listening, port=0), timing=timing)
    return RunHost(service, nameserver=listening, processes=processes)


def reference_of(objective: Objective) -> str:
    """Return the name by which another process finds an objective.

    Raises
    ------
    ConfigurationError
        If it is not a function at the top level of a file or module.
    """
    if isinstance(objective, ImportedObjective):
        return objective.reference
    function = objective.function if isinstance(objective, FunctionObjective) else None
    name = getattr(function, "__qualname__", "")
    try:
        file = inspect.getsourcefile(inspect.unwrap(function)) if function else None
    except TypeError:
        file = None
    if file is None or not name.isidentifier():
        raise ConfigurationError(
            f"workers in other processes cannot find the objective {objective.name} by its name",
            cause="it is not defined at the top level of a file",
            do='define it there with "def", or use executor="process"',
        )
    return f"{Path(file).resolve()}:{name}"


def _arguments(options: Mapping[str, Any]) -> list[str]:
    given = [(name, value) for name, value in options.items() if value is not None]
    return [text for name, value in given for text in ("--" + name.replace("_", "-"), str(value))]


def _threads(workers: int) -> dict[str, str]:
    """Limit the threads of each worker, unless the user did: more threads than CPUs only wait."""
    each = str(max(1, available_cpus() // workers))
    return {name: each for name in _THREADS if name not in os.environ}

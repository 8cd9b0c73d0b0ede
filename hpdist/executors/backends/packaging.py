"""An objective packaged for a process of another system, where its module may not exist."""

from __future__ import annotations

import hashlib
import pickle
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from hpdist.core.attempt.pickled_objective import by_value, pickled
from hpdist.core.objective.objective import (
    Call,
    FunctionObjective,
    ImportedObjective,
    Objective,
    load_objective,
    objective_of,
)


@dataclass(frozen=True)
class PackagedObjective:
    """An objective as bytes, with the limits of its attempts; equal for equal searches."""

    name: str
    data: bytes
    job_timeout: float | None = None
    memory_limit: int | None = None

    def build(self) -> Call:
        """Unpickle and build the objective; only in the child process that calls it."""
        objective: Objective = pickle.loads(self.data)
        return objective.build()

    @property
    def key(self) -> str:
        """A hash that differs between different packaged objectives."""
        limits = f"{self.name} {self.job_timeout} {self.memory_limit} "
        return hashlib.sha256(limits.encode() + self.data).hexdigest()


def package_objective(
    objective: Objective, job_timeout: float | None, memory_limit: int | None
) -> PackagedObjective:
    """Package an objective, with the code of its module where that is the user's own.

    Raises
    ------
    ConfigurationError
        If it cannot be imported here, or pickled.
    """
    if isinstance(objective, ImportedObjective):
        objective = objective_of(load_objective(objective.reference))
    function = objective.function if isinstance(objective, FunctionObjective) else None
    with own_module_by_value(function):
        data = pickled(objective)
    return PackagedObjective(objective.name, data, job_timeout, memory_limit)


@contextmanager
def own_module_by_value(function: object) -> Iterator[None]:
    """Pickle a function with the code of its module, where that is the user's own."""
    module = getattr(function, "__module__", None) or ""
    with by_value(module) if _is_own(module) else nullcontext():
        yield


def _is_own(module: str) -> bool:
    """Whether a module is the user's: neither Python's, nor installed, nor ours."""
    file = getattr(sys.modules.get(module), "__file__", None)
    # what is in __main__ is pickled by value anyway
    if (
        file is None
        or module in ("__main__", "__mp_main__")
        or module.partition(".")[0] == "hpdist"
    ):
        return False
    paths = {sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")}
    return not any(Path(file).is_relative_to(path) for path in paths)

"""Evaluators: submit parameters of a function, gather the results, on any executor.

Searches (`Search`, `CBO`) and the seeds' names around them live here too. It imports the executors
and the core. Open `base` first, then `search`. Each name is imported when it is first used, since
the children that run a function import this package as well.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hpdist.evaluator.arguments import MaximumJobsReached
    from hpdist.evaluator.base import Evaluator
    from hpdist.evaluator.evaluators import (
        ClusterEvaluator,
        DaskEvaluator,
        LokyEvaluator,
        MPICommEvaluator,
        ProcessPoolEvaluator,
        RayEvaluator,
        SerialEvaluator,
        ThreadPoolEvaluator,
    )
    from hpdist.evaluator.job import Job
    from hpdist.evaluator.problem import HpProblem
    from hpdist.evaluator.profiling import profile
    from hpdist.evaluator.search import CBO, Search
    from hpdist.evaluator.storage import (
        JournalStorage,
        MemoryStorage,
        SharedMemoryStorage,
        Storage,
    )

_MODULES = {
    "arguments": ("MaximumJobsReached",),
    "job": ("Job",),
    # `Evaluator` through the module whose classes register themselves for `Evaluator.create`.
    "evaluators": (
        "Evaluator",
        *("ClusterEvaluator", "DaskEvaluator", "LokyEvaluator", "MPICommEvaluator"),
        *("ProcessPoolEvaluator", "RayEvaluator", "SerialEvaluator", "ThreadPoolEvaluator"),
    ),
    "problem": ("HpProblem",),
    "profiling": ("profile",),
    "search": ("CBO", "Search"),
    "storage": ("JournalStorage", "MemoryStorage", "SharedMemoryStorage", "Storage"),
}

__all__ = [
    "CBO",
    "ClusterEvaluator",
    "DaskEvaluator",
    "Evaluator",
    "HpProblem",
    "Job",
    "JournalStorage",
    "LokyEvaluator",
    "MPICommEvaluator",
    "MaximumJobsReached",
    "MemoryStorage",
    "ProcessPoolEvaluator",
    "RayEvaluator",
    "Search",
    "SerialEvaluator",
    "SharedMemoryStorage",
    "Storage",
    "ThreadPoolEvaluator",
    "profile",
]


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

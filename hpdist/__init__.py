"""Distributed, multi-fidelity hyperparameter optimization.

Importing this package is quick: each public name is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hpdist.cluster.dispatcher import Dispatcher
    from hpdist.cluster.master import Master
    from hpdist.cluster.nameserver import NameServer
    from hpdist.cluster.worker import Worker
    from hpdist.context import Context
    from hpdist.errors import HpdistError
    from hpdist.model import Failure, FailureKind, Job, Limits, Retry, Success, Timing, Trial
    from hpdist.optimize import maximize, minimize
    from hpdist.results import Results
    from hpdist.space import Categorical, Constant, Float, Int, Ordinal, Space
    from hpdist.study import Study
    from hpdist.transfer import transfer

    __version__: str

_MODULES = {
    # search, on one machine
    "minimize": "optimize",
    "maximize": "optimize",
    "Study": "study",
    "Results": "results",
    "transfer": "transfer",
    # search, on many machines
    "NameServer": "cluster.nameserver",
    "Dispatcher": "cluster.dispatcher",
    "Master": "cluster.master",
    "Worker": "cluster.worker",
    # what to search
    "Space": "space",
    "Float": "space",
    "Int": "space",
    "Categorical": "space",
    "Ordinal": "space",
    "Constant": "space",
    # what is searched with
    "Context": "context",
    "Limits": "model",
    "Retry": "model",
    "Timing": "model",
    # what comes of it
    "Trial": "model",
    "Job": "model",
    "Success": "model",
    "Failure": "model",
    "FailureKind": "model",
    "HpdistError": "errors",
}

__all__ = [
    "Categorical",
    "Constant",
    "Context",
    "Dispatcher",
    "Failure",
    "FailureKind",
    "Float",
    "HpdistError",
    "Int",
    "Job",
    "Limits",
    "Master",
    "NameServer",
    "Ordinal",
    "Results",
    "Retry",
    "Space",
    "Study",
    "Success",
    "Timing",
    "Trial",
    "Worker",
    "__version__",
    "maximize",
    "minimize",
    "transfer",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("hpdist")
    elif name in _MODULES:
        value = getattr(importlib.import_module(f"hpdist.{_MODULES[name]}"), name)
    else:
        raise AttributeError(f"module 'hpdist' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""Distributed, multi-fidelity hyperparameter optimization.

Importing this package is quick: each public name is imported when it is first used.
"""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hpdist.cluster.dispatcher import Dispatcher
    from hpdist.cluster.master import Master
    from hpdist.cluster.nameserver import NameServer
    from hpdist.cluster.worker import Worker
    from hpdist.core.model.errors import HpdistError
    from hpdist.core.model.limits_and_timing import Limits, Retry, Timing
    from hpdist.core.model.states import FailureKind
    from hpdist.core.model.values import Failure, Job, Success, Trial
    from hpdist.core.objective.context import Context
    from hpdist.core.results.results import Results
    from hpdist.core.run.warm_start import transfer
    from hpdist.core.space.space import Categorical, Constant, Float, Int, Ordinal, Space
    from hpdist.core.study.early_stopping import MedianRule, RungRule
    from hpdist.core.study.study import Study
    from hpdist.optimize import maximize, minimize

    __version__: str

_MODULES = {
    # search, on one machine
    "minimize": "optimize",
    "maximize": "optimize",
    "Study": "core.study.study",
    "MedianRule": "core.study.early_stopping",
    "RungRule": "core.study.early_stopping",
    "Results": "core.results.results",
    "transfer": "core.run.warm_start",
    # search, on many machines
    "NameServer": "cluster.nameserver",
    "Dispatcher": "cluster.dispatcher",
    "Master": "cluster.master",
    "Worker": "cluster.worker",
    # what to search
    "Space": "core.space.space",
    "Float": "core.space.space",
    "Int": "core.space.space",
    "Categorical": "core.space.space",
    "Ordinal": "core.space.space",
    "Constant": "core.space.space",
    # what is searched with
    "Context": "core.objective.context",
    "Limits": "core.model.limits_and_timing",
    "Retry": "core.model.limits_and_timing",
    "Timing": "core.model.limits_and_timing",
    # what comes of it
    "Trial": "core.model.values",
    "Job": "core.model.values",
    "Success": "core.model.values",
    "Failure": "core.model.values",
    "FailureKind": "core.model.states",
    "HpdistError": "core.model.errors",
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
    "MedianRule",
    "NameServer",
    "Ordinal",
    "Results",
    "Retry",
    "RungRule",
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


class _UntilConfigured(logging.NullHandler):
    """A NullHandler that passes warnings to standard error until the program configures logging.

    Silence would hide that no worker has come, that the disk is full, or that a callback fails.
    """

    def handle(self, record: logging.LogRecord) -> bool:
        if logging.lastResort is None or self._has_company(logging.getLogger(record.name)):
            return False
        wanted = record.levelno >= logging.lastResort.level
        return bool(wanted and logging.lastResort.handle(record))

    def _has_company(self, logger: logging.Logger | None) -> bool:
        """Whether a logger's records reach another handler, of its own or of its parents."""
        while logger is not None:
            if any(handler is not self for handler in logger.handlers):
                return True
            logger = logger.parent if logger.propagate else None
        return False


logging.getLogger(__name__).addHandler(_UntilConfigured())


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

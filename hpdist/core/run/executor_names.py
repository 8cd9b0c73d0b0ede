"""The executors by name, cluster and folder included, and the options that each of them uses."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hpdist.core.dispatch.executor import Executor
from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.validation import short_repr

LIMITS = frozenset({"job_timeout", "memory_limit"})
CHILDREN = LIMITS | {"workers", "isolation"}
REMOTE = LIMITS | {"workers", "prefetch", "address", "resources"}


@dataclass(frozen=True)
class ExecutorKind:
    """An executor that can be chosen by name; ``heeds`` are the options that it does not ignore."""

    help: str
    heeds: frozenset[str]


EXECUTORS: Mapping[str, ExecutorKind] = {
    "cluster": ExecutorKind(
        "nameserver, dispatcher and worker processes, which others may join",
        CHILDREN | {"prefetch", "host", "nic", "port"},
    ),
    "process": ExecutorKind("a child process for each worker", CHILDREN | {"prefetch"}),
    "thread": ExecutorKind("a thread for each worker", CHILDREN | {"prefetch"}),
    "serial": ExecutorKind("one evaluation after another", frozenset({"isolation"})),
    "loky": ExecutorKind("a process of loky for each worker", LIMITS | {"workers", "prefetch"}),
    "dask": ExecutorKind("the workers of a Dask cluster", REMOTE),
    "ray": ExecutorKind("the nodes of a Ray cluster", REMOTE),
    "mpi": ExecutorKind("the ranks of an MPI job", REMOTE),
    "folder": ExecutorKind("all who make the same call on the same directory", CHILDREN),
}
"""Options that are named nowhere here are heeded by all."""

RESTRICTED = frozenset().union(*(kind.heeds for kind in EXECUTORS.values()))
"""Options that some executors ignore."""


def check_executor(name: str, value: Any) -> str | Executor:
    """Return the name of an executor, or an object that runs attempts.

    Raises
    ------
    ConfigurationError
        If it is neither.
    """
    if isinstance(value, str):
        if value in EXECUTORS:
            return value
        close = difflib.get_close_matches(value, EXECUTORS, n=1)
        do = f"did you mean {close[0]}?" if close else f"choose one of {', '.join(EXECUTORS)}"
        raise ConfigurationError(f"{short_repr(value)} is no {name}", do=do)
    return check_executor_object(name, value)


def check_executor_object(name: str, value: Any) -> Executor:
    """Return an object that runs attempts.

    Raises
    ------
    ConfigurationError
        If it is none.
    """
    methods = (getattr(value, each, None) for each in ("start", "perform", "close"))
    if isinstance(value, type) or not all(map(callable, methods)):
        raise ConfigurationError(
            f"{short_repr(value)} is no {name}",
            do=f"give an object with start, perform and close; by name minimize takes "
            f"{', '.join(EXECUTORS)}",
        )
    made: Executor = value
    return made


def ignored(executor: str | Executor, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the options that this executor would ignore."""
    if not isinstance(executor, str):
        return {name: value for name, value in given.items() if name in RESTRICTED}
    out = RESTRICTED - EXECUTORS[executor].heeds
    one = executor == "serial" and given.get("workers") == 1
    return {n: value for n, value in given.items() if n in out and not (one and n == "workers")}


def refuse_ignored(executor: str | Executor, given: Mapping[str, Any]) -> None:
    """Refuse options that the executor would ignore.

    Parameters
    ----------
    given
        Options that differ from their defaults.
    """
    refused = ignored(executor, given)
    if not refused:
        return
    who = f'executor="{executor}"' if isinstance(executor, str) else "an executor object"
    able = [name for name, kind in EXECUTORS.items() if kind.heeds >= refused.keys()]
    it = "it" if len(refused) == 1 else "them"
    do = f"leave {it} out" + (f", or use executor={_either(able)}" if able else "")
    listed = ", ".join(f"{name}={value!r}" for name, value in refused.items())
    raise ConfigurationError(f"{who} cannot take {listed}", do=do)


def _either(names: list[str]) -> str:
    quoted = [f'"{name}"' for name in names]
    return " or ".join([", ".join(quoted[:-1]), quoted[-1]] if len(quoted) > 1 else quoted)

"""The options of a search: each is declared here once, with default, check, help and names.

`Limits`, `Timing` and `Retry` are groups of options too; they are declared in
`hpdist.core.model.limits_and_timing`, since the machines of the engine use them.
`hpdist.core.run.doors` lists which front door has which option.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from hpdist.core.dispatch.executor import Executor
from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.limits_and_timing import Limits, Retry, Timing
from hpdist.core.model.option_declaration import (
    BYTES,
    COUNT_OR_ZERO,
    FLAG,
    OBJECT,
    SECONDS,
    SECONDS_OR_ZERO,
    SEED,
    TEXT,
    Kind,
    check_options,
    choice,
    option,
)
from hpdist.core.model.validation import (
    check_callable,
    check_kind,
    check_list,
    check_name,
    check_number,
    check_seconds,
    check_whole,
    short_repr,
)
from hpdist.core.model.values import Configuration
from hpdist.core.objective.limits import ISOLATION
from hpdist.core.objective.multi_objective import ONE
from hpdist.core.run.executor_names import check_executor

T = TypeVar("T")


def _check_resources(name: str, value: Any) -> dict[str, float]:
    named: dict[str, Any] = check_kind(name, value, dict, do='resources={"GPU": 1}')
    return {
        check_name("a resource", each): check_number(f"resources[{each!r}]", amount, minimum=0)
        for each, amount in named.items()
    }


def _check_callbacks(name: str, value: Any) -> list[Any]:
    if callable(value):
        raise ConfigurationError(
            f"{name} must be a list, got {short_repr(value)}", do=f"{name}=[...]"
        )
    listed = check_list(name, value, of="functions")
    return [check_callable("a callback", each, "of an EvaluationResult") for each in listed]


def _check_time_limit(name: str, value: Any) -> float:
    return check_seconds(name, value, infinite=True, do=f"{name}=3600 or None")


def _check_port(name: str, value: Any) -> int:
    return check_whole(name, value, minimum=0, maximum=65535)


@dataclass(frozen=True)
class SearchOptions:
    """The search; checked when a `hpdist.core.run.definition.Search` is made of it."""

    objective: Any = option(None, OBJECT, "Function, or its name, to be evaluated.")
    space: Any = option(None, OBJECT, "Hyperparameters and their ranges.")
    min_budget: float | None = option(None, Kind("budget"), "Smallest budget.", flag="--budget")
    max_budget: float | None = option(None, Kind("budget"), "Largest budget.", flag="--budget")
    eta: float = option(3, Kind("number"), "One in ETA configurations is promoted.")
    iter_generator: Any = option(None, OBJECT, "How budgets are chosen.")
    optimizer: Any = option("auto", OBJECT, "How configurations are chosen.")
    direction: str = option(
        "minimize",
        choice("minimize", "maximize"),
        "Whether the objective is minimized or maximized.",
        flag="--maximize",
    )
    seed: int = option(0, SEED, "Seed of all random choices.")
    initial_configs: Sequence[Configuration] = option(
        (), OBJECT, "Configurations to evaluate first.", flag="--default-first"
    )
    warm_start: Any = option((), OBJECT, "Earlier runs to learn from.", master="previous_result")
    early_stopping: Any = option(
        None, OBJECT, "Rule that stops evaluations early, by the losses they report."
    )
    objectives: Sequence[str] = option(
        ONE, OBJECT, "Minimized values: loss and other keys of the result."
    )

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True)
class TimeLimits:
    """Time limits of one call, or one process."""

    time_limit: float | None = option(
        None,
        Kind("seconds", _check_time_limit),
        "Limit: time from now.",
        master="time_left_for_this_task",
    )
    grace: float = option(
        10.0, SECONDS_OR_ZERO, "Time that running evaluations have when the time limit is reached."
    )

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True)
class EvaluationOptions:
    """Limits of an evaluation, and where it runs within its worker."""

    isolation: str = option(
        "process",
        ISOLATION,
        "Evaluate in a child process, or in the worker's own.",
    )
    job_timeout: float | None = option(None, SECONDS, "Time that one evaluation may take.")
    memory_limit: int | None = option(None, BYTES, "Memory that one evaluation may take.")
    prefetch: int = option(0, COUNT_OR_ZERO, "Evaluations that are assigned to a worker ahead.")
    device: str = option(
        "",
        Kind("text", partial(check_kind, kind=str)),
        "Device that evaluations use, such as cuda:0.",
        flag="--devices",
    )

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True)
class ExecutorOptions:
    """The executor, and the number of its evaluations at once."""

    executor: str | Executor = option(
        "process", Kind("name", check_executor), "Where evaluations run."
    )
    workers: int | None = option(
        None, COUNT_OR_ZERO, "Evaluations at once. Default: one on each CPU."
    )
    address: str | None = option(
        None, TEXT, "Address of a running Dask or Ray cluster. Default: a new one on this machine."
    )
    resources: Mapping[str, float] | None = option(
        None,
        Kind("name=amount", _check_resources),
        "Resources of each evaluation on Dask or Ray, such as GPU=1.",
        flag="--resource",
    )

    def __post_init__(self) -> None:
        check_options(self)
        if self.workers is not None and self.executor != "cluster":
            check_whole("workers", self.workers, minimum=1)  # only a cluster can wait for others


@dataclass(frozen=True)
class ListeningOptions:
    """Where nameserver and dispatcher listen."""

    host: str | None = option(None, TEXT, "Address to listen on.")
    nic: str | None = option(None, TEXT, "Network interface to listen on.", master="nic_name")
    port: int = option(0, Kind("port", _check_port), "Port to listen on. Default: any.")

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True)
class RunPolicy:
    """The directory of a run, when it is resumed, and how it is shown."""

    run: str | Path | None = option(
        None,
        OBJECT,
        "Run directory. Default: hpdist-runs/ and the script's name.",
        master="working_directory",
    )
    resume: str = option(
        "auto", choice("auto", "never", "must"), "When to go on with a run.", flag="--new"
    )
    on_change: str = option(
        "error",
        choice("error", "continue"),
        "What to do when the run has another optimizer or objective.",
    )
    retry_failed: bool = option(False, FLAG, "Repeat the failed evaluations of a resumed run.")
    progress: str = option("auto", OBJECT, "A live display, or a line every 30 s.")
    callbacks: Sequence[Any] = option(
        (),
        Kind("functions", _check_callbacks),
        "Called with each settled evaluation.",
        master="result_logger",
    )

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True)
class RunOptions:
    """All options of a search, by groups."""

    search: SearchOptions = field(default_factory=SearchOptions)
    limits: Limits = field(default_factory=Limits)
    time: TimeLimits = field(default_factory=TimeLimits)
    evaluation: EvaluationOptions = field(default_factory=EvaluationOptions)
    executor: ExecutorOptions = field(default_factory=ExecutorOptions)
    listening: ListeningOptions = field(default_factory=ListeningOptions)
    policy: RunPolicy = field(default_factory=RunPolicy)
    timing: Timing | None = None
    retry: Retry | None = None

    def __post_init__(self) -> None:
        check_timing_and_retry(self.timing, self.retry)

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> RunOptions:
        """Return the options, sorted into the groups that declare them.

        ``timing`` and ``retry`` are given as groups; other names are ignored.
        """
        groups = {name: take(kind, given) for name, kind in GROUPS.items()}
        return cls(**groups, timing=given.get("timing"), retry=given.get("retry"))

    @property
    def has_limits(self) -> bool:
        """True if any limit was given."""
        return self.limits != Limits() or self.time.time_limit is not None


GROUPS: dict[str, type[Any]] = {
    "search": SearchOptions,
    "limits": Limits,
    "time": TimeLimits,
    "evaluation": EvaluationOptions,
    "executor": ExecutorOptions,
    "listening": ListeningOptions,
    "policy": RunPolicy,
}
"""Groups whose options are given one by one."""

FIELDS: dict[str, Field[Any]] = {
    each.name: each for kind in (*GROUPS.values(), Timing, Retry) for each in fields(kind)
}
"""All options, by their names."""


def take(kind: type[T], given: Mapping[str, Any]) -> T:
    """Return the group of options that ``kind`` declares, out of all that are given."""
    names = [each.name for each in fields(kind)]  # type: ignore[arg-type]
    return kind(**{name: given[name] for name in names if name in given})


def changed(*groups: Any) -> dict[str, Any]:
    """Return the options of these groups that differ from their defaults."""
    return {
        each.name: getattr(group, each.name)
        for group in groups
        for each in fields(group)
        if getattr(group, each.name) not in (each.default, {})
    }


def check_timing_and_retry(timing: object, retry: object) -> None:
    """Check the types of ``timing`` and ``retry``."""
    if timing is not None:
        check_kind("timing", timing, Timing, do="timing=Timing(lease_s=30)")
    if retry is not None:
        check_kind("retry", retry, Retry, do="retry=Retry(max_crashes=3)")


def check_names(owner: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raise for options that ``owner`` does not have, suggesting a similar name."""
    names = list(known)
    for name in given:
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            raise ConfigurationError(
                f"{owner} has no option {short_repr(name)}",
                do=f"did you mean {close[0]}?" if close else f"choose from {', '.join(names)}",
            )

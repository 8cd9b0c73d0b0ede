"""Values that all packages use: trials, jobs, outcomes and workers.

All are frozen and validated when made, so no invalid value reaches the engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.states import FailureKind, JobState
from hpdist.core.model.validation import (
    check_counts,
    check_kind,
    check_number,
    check_whole,
    short_repr,
)

JsonValue = Any
"""None, bool, int, finite float, str, and lists and dicts of these with str keys."""

Configuration = Mapping[str, JsonValue]
"""An assignment of hyperparameters: plain Python values by name, inactive ones absent."""

ConfigId = tuple[int, int, int]
"""(iteration, budget index at which it was sampled, running index): how people name a trial."""


@dataclass(frozen=True)
class Success:
    """An evaluation that returned a loss.

    ``loss`` has the user's own sign; ``cost`` is in the user's unit, None where the objective
    gave none; ``info`` holds all other values that the objective returned.
    """

    loss: float
    cost: float | None = None
    info: JsonValue = None

    def __post_init__(self) -> None:
        loss = check_number("loss", self.loss)
        cost = None if self.cost is None else check_number("cost", self.cost)
        if loss is not self.loss or cost is not self.cost:
            _set_fields(self, loss=loss, cost=cost)


@dataclass(frozen=True)
class Failure:
    """An evaluation that has no loss, and why; ``traceback`` is the objective's own."""

    kind: FailureKind
    message: str
    traceback: str = ""

    def __post_init__(self) -> None:
        check_kind("kind", self.kind, FailureKind, do="kind=FailureKind.EXCEPTION")
        check_kind("message", self.message, str)
        check_kind("traceback", self.traceback, str)
        _set_fields(self, message=_sendable(self.message), traceback=_sendable(self.traceback))


Outcome = Success | Failure


def settled_state(outcome: Outcome | None) -> JobState:
    """The state in which ``outcome`` leaves a job."""
    if isinstance(outcome, Failure):
        cancelled = outcome.kind is FailureKind.CANCELLED
        return JobState.CANCELLED if cancelled else JobState.FAILED
    return JobState.COMPLETED


@dataclass(frozen=True)
class Trial:
    """A configuration within a run; ``trial_id`` is dense from 0."""

    trial_id: int
    config_id: ConfigId
    config: dict[str, JsonValue]
    config_info: dict[str, JsonValue] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_counts(self, "trial_id")
        triple = self.config_id
        is_triple = isinstance(triple, tuple) and list(map(type, triple)) == [int, int, int]
        if not is_triple or min(triple) < 0:
            raise ConfigurationError(
                f"config_id must be three whole numbers, got {short_repr(triple)}"
            )
        check_kind("config", self.config, dict)
        check_kind("config_info", self.config_info, dict)


@dataclass(frozen=True)
class Job:
    """Evaluate trial ``trial_id`` at ``budget``: the unit of scheduling.

    ``retry_of`` is the failed job that an operator asked to run again.
    """

    job_id: int
    trial_id: int
    budget: float
    bracket: int = 0
    rung: int = 0
    worker: str | None = None  #: pinned to this worker
    retry_of: int | None = None

    def __post_init__(self) -> None:
        check_counts(self, "job_id", "trial_id", "bracket", "rung")
        check_number("budget", self.budget, above=0)
        if self.worker is not None:
            check_kind("worker", self.worker, str)
        if self.retry_of is not None:
            check_counts(self, "retry_of")


@dataclass(frozen=True)
class WorkerInfo:
    """The description of a worker that it registers with.

    ``incarnation`` differs between two processes that use the same ``worker_id``. A worker runs
    ``slots`` attempts at a time, and is assigned ``prefetch`` more that it has not started.
    """

    worker_id: str
    incarnation: str
    host: str = ""
    pid: int = 0
    slots: int = 1
    prefetch: int = 0
    device: str = ""
    details: dict[str, JsonValue] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("worker_id", "incarnation", "host", "device"):
            check_kind(name, getattr(self, name), str)
        _set_fields(self, slots=check_whole("slots", self.slots, minimum=1))
        _set_fields(self, prefetch=check_whole("prefetch", self.prefetch, minimum=0))
        check_whole("pid", self.pid, minimum=0)
        check_kind("details", self.details, dict)


def _set_fields(owner: object, **values: object) -> None:
    """Replace fields by their checked values, although the classes are frozen."""
    for name, value in values.items():
        object.__setattr__(owner, name, value)


def _sendable(text: str) -> str:
    """Escape lone surrogates, which cannot be encoded."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text


@dataclass(frozen=True)
class Evaluation:
    """The reply of `Study.ask`: evaluate ``config`` at ``budget``.

    ``seed`` is the trial's own, for the objective's random numbers.
    """

    job: Job
    trial: Trial
    seed: int

    @property
    def config(self) -> dict[str, JsonValue]:
        return dict(self.trial.config)

    @property
    def budget(self) -> float:
        return self.job.budget

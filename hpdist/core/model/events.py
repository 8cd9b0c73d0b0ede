"""Events that reach the loop, and records of the journal.

*Events* are facts in the past tense that reach the loop. *Orders* are imperatives that the loop
gives to an executor. *Records* are what the journal keeps; applying them is the only way in which
durable state changes, live and on resume alike.

An evaluation has at most three records when nothing goes wrong: `JobCreated` (with its trial when
that is new), `AttemptStarted` and `AttemptEnded`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from hpdist.core.model.states import Command, EndReason, WorkerState
from hpdist.core.model.values import Job, JsonValue, Outcome, Trial, WorkerInfo

Assignment = tuple[int, int]
"""(job_id, attempt): an attempt that is assigned to a worker."""


# --------------------------------------------------------------------------------- events


@dataclass(frozen=True)
class WorkerJoined:
    """A worker registered, with the attempts it has: waiting, running or not acknowledged."""

    worker: WorkerInfo
    assigned: tuple[Assignment, ...] = ()


@dataclass(frozen=True)
class WorkerSeen:
    """A worker gave a sign of life; ``assigned`` as in `WorkerJoined`, None when not reported.

    With ``draining`` it must not be assigned further jobs.
    """

    worker_id: str
    incarnation: str
    assigned: tuple[Assignment, ...] | None = None
    draining: bool = False


@dataclass(frozen=True)
class WorkerLeft:
    """A worker deregistered, releasing all attempts assigned to it."""

    worker_id: str
    incarnation: str
    reason: str = ""


@dataclass(frozen=True)
class ConnectionLost:
    """A worker's connection was closed; the worker may still be alive."""

    worker_id: str
    incarnation: str


@dataclass(frozen=True)
class WorkerDied:
    """A worker is known to be gone for good, with nothing left running (local executors)."""

    worker_id: str
    incarnation: str
    reason: str = ""


@dataclass(frozen=True)
class AttemptResult:
    """The result of an attempt, as its worker reports it.

    ``seconds`` is the duration on the worker's monotonic clock, ``started`` the wall time there
    in seconds since 1970, ``output`` the tail of its printed output.
    """

    job_id: int
    attempt: int
    outcome: Outcome
    seconds: float = 0.0
    started: float = 0.0
    output: str = ""


@dataclass(frozen=True)
class AttemptFinished:
    """A worker reported a result: its own, or that of a dead one, named in ``evaluated_by``."""

    worker_id: str
    incarnation: str
    result: AttemptResult
    evaluated_by: str = ""


@dataclass(frozen=True)
class AttemptReleased:
    """A worker released an attempt unfinished (preempted, recalled or cancelled): no failure."""

    worker_id: str
    incarnation: str
    job_id: int
    attempt: int
    reason: str = ""


@dataclass(frozen=True)
class ProgressReported:
    """An objective called ``ctx.report(step, loss)``."""

    worker_id: str
    incarnation: str
    job_id: int
    attempt: int
    step: int
    loss: float


@dataclass(frozen=True)
class ControlRequested:
    """An operator, or the process itself, asks for a command.

    Raises
    ------
    ConfigurationError
        If there is no such command.
    """

    command: Command
    arguments: dict[str, JsonValue] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "command", Command.of(self.command))


@dataclass(frozen=True)
class ExecutorFailed:
    """A thread of the executor failed by a bug: the run must end with an error."""

    message: str
    traceback: str = ""


@dataclass(frozen=True)
class WorkOffered:
    """The job source may have a new job to propose."""


WorkerEvent = WorkerJoined | WorkerSeen | WorkerLeft | ConnectionLost | WorkerDied
AttemptEvent = AttemptFinished | AttemptReleased | ProgressReported
Event = WorkerEvent | AttemptEvent | WorkOffered | ControlRequested | ExecutorFailed


# --------------------------------------------------------------------------------- records


@dataclass(frozen=True)
class RunCreated:
    """The journal's first record: the definition of this search, by which another one is refused.

    ``space``, ``iter_generator`` and ``optimizer`` are JSON descriptions; ``warm_start`` holds
    observations of earlier runs: dicts with config, budget and loss (None when it failed).
    """

    kind: ClassVar[str] = "run"
    format: int
    run_id: str
    space: JsonValue = None
    direction: str = "minimize"
    seed: int = 0
    iter_generator: JsonValue = None
    optimizer: JsonValue = None
    objective: str = ""
    initial_configs: list[JsonValue] = field(default_factory=list)
    warm_start: list[JsonValue] = field(default_factory=list)
    limits: dict[str, JsonValue] = field(default_factory=dict)
    early_stopping: JsonValue = None
    objectives: list[str] = field(default_factory=lambda: ["loss"])
    versions: dict[str, str] = field(default_factory=dict)
    notes: dict[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True)
class JobCreated:
    """A job was created; ``trial`` is given when its configuration is new."""

    kind: ClassVar[str] = "job"
    job: Job
    trial: Trial | None = None


@dataclass(frozen=True)
class AttemptStarted:
    """An attempt was assigned to a worker, or found running on one that was thought lost."""

    kind: ClassVar[str] = "start"
    job_id: int
    attempt: int
    worker_id: str


@dataclass(frozen=True)
class AttemptEnded:
    """An attempt ended.

    ``final`` is True if it settles the job; otherwise the job is queued again.
    ``outcome`` is None when the attempt was released unfinished, which is no failure.
    """

    kind: ClassVar[str] = "done"
    job_id: int
    attempt: int
    worker_id: str
    outcome: Outcome | None
    final: bool = True
    seconds: float = 0.0
    started: float = 0.0
    output: str = ""


@dataclass(frozen=True)
class WorkerChanged:
    """A worker joined, returned after a restart of the master, left, was lost or quarantined.

    ``forgiven`` lists the jobs whose crash on this worker no longer counts.
    """

    kind: ClassVar[str] = "worker"
    state: WorkerState
    worker: WorkerInfo
    reason: str = ""
    forgiven: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class ReportReceived:
    """An intermediate loss of a running attempt."""

    kind: ClassVar[str] = "report"
    job_id: int
    attempt: int
    step: int
    loss: float


@dataclass(frozen=True)
class AttemptStoppedEarly:
    """A running attempt has to end early, because of its report at ``step``."""

    kind: ClassVar[str] = "stop_early"
    job_id: int
    attempt: int
    step: int


@dataclass(frozen=True)
class Controlled:
    """A command that changes the run was accepted."""

    kind: ClassVar[str] = "control"
    command: Command
    arguments: dict[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True)
class RunResumed:
    """A process took the run over; ``epoch`` rises by one each time, the first is 1."""

    kind: ClassVar[str] = "resumed"
    epoch: int
    pid: int = 0
    host: str = ""
    address: str = ""
    versions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RunEnded:
    """The run ended."""

    kind: ClassVar[str] = "ended"
    reason: EndReason
    message: str = ""


JobRecord = JobCreated | AttemptStarted | AttemptEnded | ReportReceived | AttemptStoppedEarly
Record = RunCreated | JobRecord | WorkerChanged | Controlled | RunResumed | RunEnded

"""The messages of a worker to its dispatcher, and the events that they represent.

`Register` starts the session of a worker, `Poll` reports results and requests work, `Heartbeat`
shows that the worker is alive while it evaluates, `Deregister` ends its session. A channel adds
the version of the protocol and the run to each; `check_recipient` checks both.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, ClassVar

from hpdist.core.model.errors import ConfigurationError, ProtocolMismatch
from hpdist.core.model.events import (
    Assignment,
    AttemptFinished,
    AttemptReleased,
    AttemptResult,
    Event,
    ProgressReported,
    WorkerJoined,
    WorkerLeft,
    WorkerSeen,
)
from hpdist.core.model.field_codec import (
    MAX_ITEMS,
    Fields,
    attempts,
    flag,
    from_json,
    integer,
    is_int,
    is_number,
    json_object,
    list_of,
    matching,
    nested,
    number,
    optional,
    text,
    to_json,
    wrong,
)
from hpdist.core.model.limits_and_timing import MAX_WAIT_S
from hpdist.core.model.record_codec import outcome_from_json, outcome_to_json
from hpdist.core.model.validation import short_repr
from hpdist.core.model.values import Failure, JsonValue, Outcome, Success, WorkerInfo

PROTOCOL = 1
"""Version of the messages; a peer with another version is refused."""

MAX_OUTPUT = 65_536
"""Characters of printed output, and of a traceback, that one result may carry."""

_WORKER_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:@-]{0,127}")
_WORKER_ID_OR_NONE = re.compile(rf"({_WORKER_ID.pattern})?")
_INCARNATION = re.compile(r"[0-9a-f]{8,64}")
_INSTANCE = text(64)


def _read_outcome(data: Any, where: str) -> Outcome:
    try:
        outcome = outcome_from_json(data)
    except ConfigurationError as error:
        raise wrong(where, data, "a loss or a failure", cause=error.what) from None
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise wrong(where, data, "a loss or a failure", cause=repr(error)) from None
    if outcome is None or (isinstance(outcome, Success) and outcome.loss is None):
        raise wrong(where, data, "a loss or a failure")
    if isinstance(outcome, Failure):
        for value in (outcome.message, outcome.traceback):
            if not isinstance(value, str) or len(value) > MAX_OUTPUT:
                raise wrong(where, value, f"a text of up to {MAX_OUTPUT} characters")
    return outcome


def _is_reason(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MAX_OUTPUT


_IN_FLIGHT = optional(attempts())
_RELEASED = optional(attempts(("reason", _is_reason)))
_PROGRESS = optional(attempts(("step", is_int), ("loss", is_number)))


@dataclass(frozen=True)
class ReportedResult:
    """A result as it is sent to the dispatcher; the fields are those of `AttemptResult`.

    The result of a dead worker has its ``worker`` id and its run ``instance``.
    """

    job_id: int = field(metadata=integer())
    attempt: int = field(metadata=integer())
    outcome: Outcome = field(metadata={"read": _read_outcome, "write": outcome_to_json})
    seconds: float = field(default=0.0, metadata=optional(number(0.0)))
    started: float = field(default=0.0, metadata=optional(number(0.0)))
    output: str = field(default="", metadata=optional(text(MAX_OUTPUT)))
    worker: str = field(default="", metadata=optional(matching(_WORKER_ID_OR_NONE)))
    instance: str = field(default="", metadata=optional(_INSTANCE))

    @property
    def assignment(self) -> Assignment:
        """The attempt that has this result."""
        return self.job_id, self.attempt

    @property
    def result(self) -> AttemptResult:
        """The result itself."""
        return AttemptResult(
            *self.assignment, self.outcome, self.seconds, self.started, self.output
        )

    def event(self, worker_id: str, incarnation: str) -> AttemptFinished:
        """Return the event that the worker ``worker_id`` has reported this result."""
        return AttemptFinished(worker_id, incarnation, self.result, self.worker)


@dataclass(frozen=True)
class WorkerDescription:
    """Description of a worker that registers; see `WorkerInfo`."""

    host: str = field(default="", metadata=optional(text(255)))
    pid: int = field(default=0, metadata=optional(integer()))
    slots: int = field(default=1, metadata=optional(integer(1, MAX_ITEMS)))
    prefetch: int = field(default=0, metadata=optional(integer(0, MAX_ITEMS)))
    device: str = field(default="", metadata=optional(text(255)))
    details: dict[str, JsonValue] = field(default_factory=dict, metadata=optional(json_object()))


@dataclass(frozen=True, kw_only=True)
class Message:
    """The fields of every message of a worker.

    Attributes
    ----------
    request
        Rises from message to message on a channel; a repeated message keeps its number.
    epoch, instance
        The newest dispatcher's epoch and the id of the run instance that the worker knows.
    wait
        Maximum seconds until the dispatcher replies.
    draining
        Whether the worker accepts no more work.
    """

    kind: ClassVar[str]
    worker: str = field(metadata=matching(_WORKER_ID))
    incarnation: str = field(metadata=matching(_INCARNATION))
    request: int = field(metadata=integer())
    epoch: int = field(default=0, metadata=integer())
    instance: str = field(default="", metadata=optional(_INSTANCE))
    wait: float = field(default=0.0, metadata=optional(number(0.0, MAX_WAIT_S)))
    draining: bool = field(default=False, metadata=optional(flag()))

    @property
    def sender(self) -> tuple[str, str]:
        """The worker's id and incarnation."""
        return self.worker, self.incarnation

    def events(self, instance: str = "") -> list[Event]:
        """Return the events of the message for the loop of run instance ``instance``."""
        raise NotImplementedError

    def _released_events(self, rows: tuple[tuple[int, int, str], ...]) -> list[Event]:
        return [AttemptReleased(*self.sender, job, attempt, why) for job, attempt, why in rows]

    def _progress_events(self, rows: tuple[tuple[int, int, int, float], ...]) -> list[Event]:
        return [
            ProgressReported(*self.sender, job, attempt, step, loss)
            for job, attempt, step, loss in rows
        ]


@dataclass(frozen=True, kw_only=True)
class Register(Message):
    """Makes the worker known, with the attempts it has in flight.

    It may report what dead workers have left. The worker does not know yet which instance of the
    run is served here, so results of other ones are passed over.
    """

    kind = "register"
    info: WorkerDescription = field(metadata=nested(WorkerDescription))
    in_flight: tuple[Assignment, ...] = field(default=(), metadata=_IN_FLIGHT)
    results: tuple[ReportedResult, ...] = field(
        default=(), metadata=optional(list_of(ReportedResult))
    )

    def events(self, instance: str = "") -> list[Event]:
        joined = WorkerJoined(WorkerInfo(*self.sender, **vars(self.info)), self.in_flight)
        recovered = [result for result in self.results if result.instance == instance]
        return [joined, *(result.event(*self.sender) for result in recovered)]


@dataclass(frozen=True, kw_only=True)
class Poll(Message):
    """Reports results, released attempts and progress; requests acknowledgements and work."""

    kind = "poll"
    results: tuple[ReportedResult, ...] = field(
        default=(), metadata=optional(list_of(ReportedResult))
    )
    released: tuple[tuple[int, int, str], ...] = field(default=(), metadata=_RELEASED)
    progress: tuple[tuple[int, int, int, float], ...] = field(default=(), metadata=_PROGRESS)

    def events(self, instance: str = "") -> list[Event]:
        return [
            WorkerSeen(*self.sender, draining=self.draining),
            *self._progress_events(self.progress),
            *(result.event(*self.sender) for result in self.results),
            *self._released_events(self.released),
        ]


@dataclass(frozen=True, kw_only=True)
class Heartbeat(Message):
    """Shows that the worker is alive, lists its attempts in flight, and requests commands."""

    kind = "heartbeat"
    in_flight: tuple[Assignment, ...] = field(default=(), metadata=_IN_FLIGHT)
    released: tuple[tuple[int, int, str], ...] = field(default=(), metadata=_RELEASED)
    progress: tuple[tuple[int, int, int, float], ...] = field(default=(), metadata=_PROGRESS)

    def events(self, instance: str = "") -> list[Event]:
        return [
            WorkerSeen(*self.sender, self.in_flight, self.draining),
            *self._progress_events(self.progress),
            *self._released_events(self.released),
        ]


@dataclass(frozen=True, kw_only=True)
class Deregister(Message):
    """Ends the session; attempts that are in flight are released."""

    kind = "deregister"
    reason: str = field(default="", metadata=optional(text(MAX_OUTPUT)))
    released: tuple[tuple[int, int, str], ...] = field(default=(), metadata=_RELEASED)

    def events(self, instance: str = "") -> list[Event]:
        return [*self._released_events(self.released), WorkerLeft(*self.sender, self.reason)]


_KINDS: dict[str, type[Message]] = {
    kind.kind: kind for kind in (Register, Poll, Heartbeat, Deregister)
}


def write_message(message: Message) -> dict[str, JsonValue]:
    """Return a message as a JSON object."""
    return {"kind": message.kind, **to_json(message)}


def read_message(data: Fields) -> Message:
    """Build the message that `write_message` turned into ``data``.

    Raises
    ------
    ProtocolMismatch
        If a field is missing or malformed; the error names it.
    """
    kind = data.get("kind")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise wrong("kind", kind, "one of " + ", ".join(_KINDS))
    return from_json(_KINDS[kind], data)


@dataclass(frozen=True)
class _Known:
    """The newest dispatcher and the run instance that the sender of a message knows."""

    epoch: int = field(metadata=integer())
    instance: str = field(default="", metadata=optional(_INSTANCE))


def check_recipient(data: Fields, run_id: str, epoch: int, instance: str = "") -> None:
    """Require that a message is meant for this run and this dispatcher.

    Raises
    ------
    ProtocolMismatch
        If it has another version, belongs to another run or run instance, or comes from a worker
        that knows a newer dispatcher.
    """
    if data.get("v") != PROTOCOL:
        raise ProtocolMismatch(
            f"this dispatcher uses protocol {PROTOCOL}, the peer {data.get('v')!r}",
            do="install the same version of hpdist on both sides",
        )
    if data.get("run") != run_id:
        raise ProtocolMismatch(
            f"this dispatcher serves run {run_id!r}, not {short_repr(data.get('run'))}"
        )
    known = from_json(_Known, data)
    if known.epoch > epoch:
        raise ProtocolMismatch(
            f"a newer dispatcher (epoch {known.epoch}) has taken over run {run_id!r}; "
            f"this is epoch {epoch}"
        )
    if known.instance not in ("", instance):
        raise ProtocolMismatch(
            f"run {run_id!r} was started anew: its jobs are not those of this worker",
            do="start the worker again",
        )

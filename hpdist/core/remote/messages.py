"""What workers and the dispatcher say to each other, as plain dicts.

A message is read here field by field, so that whatever a peer sends is either understood as events
or refused by name; a reply is built here. Where a message comes from is not known to this module.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

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
from hpdist.core.model.fields import (
    MAX_ITEMS,
    Fields,
    is_int,
    is_number,
    is_row,
    read_int,
    read_list,
    read_match,
    read_number,
    read_text,
    shown,
    wrong,
)
from hpdist.core.model.record_codec import outcome_from_json
from hpdist.core.model.values import MAX_WAIT_S, Failure, Outcome, Success, WorkerInfo

PROTOCOL = 1
"""Version of the messages; a peer that speaks another one is refused."""

MAX_OUTPUT = 65_536
"""Characters of printed output, and of a traceback, that one result may carry."""

_WORKER_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:@-]{0,127}")
_INCARNATION = re.compile(r"[0-9a-f]{8,64}")


@dataclass(frozen=True)
class Message:
    """A worker's message, checked.

    ``events`` is what it tells the loop; ``results`` are the attempts that it wants acknowledged;
    ``holds`` those that it names as its own; ``wait`` says for how many seconds it may be kept
    waiting for an answer.
    """

    kind: str
    worker_id: str
    incarnation: str
    request: int
    wait: float
    events: tuple[Event, ...]
    results: tuple[Assignment, ...] = ()
    holds: tuple[Assignment, ...] = ()


def check_address(message: Fields, run_id: str, epoch: int, book: str = "") -> None:
    """Make sure that ``message`` is meant for this run and this dispatcher.

    Raises
    ------
    ProtocolMismatch
        If it speaks another version, belongs to another run, knows of a newer dispatcher, or
        speaks of the jobs of another book than ``book``.
    """
    if message.get("v") != PROTOCOL:
        raise ProtocolMismatch(
            f"this dispatcher speaks protocol {PROTOCOL}, the peer {message.get('v')!r}",
            do="install the same version of hpdist on both sides",
        )
    if message.get("run") != run_id:
        raise ProtocolMismatch(
            f"this dispatcher serves run {run_id!r}, not {shown(message.get('run'))}"
        )
    known = read_int(message, "epoch")
    if known > epoch:
        raise ProtocolMismatch(
            f"a newer dispatcher (epoch {known}) took run {run_id!r} over; this is epoch {epoch}"
        )
    if read_text(message, "book", 64) not in ("", book):
        raise ProtocolMismatch(
            f"run {run_id!r} was begun anew: its jobs are others than those of this worker",
            do="start the worker again",
        )


def read_message(message: Fields, book: str = "") -> Message:
    """Turn a worker's message into events.

    A worker that introduces itself may hand in what dead workers left; it does not know yet which
    ``book`` is served here, so the results of others are passed over.

    Raises
    ------
    ProtocolMismatch
        If a field is missing or is not what it should be; the message names it.
    """
    kind = message.get("kind")
    if not isinstance(kind, str) or kind not in _READERS:
        raise wrong("kind", kind, "one of " + ", ".join(_READERS))
    worker_id = read_match(message, "worker", _WORKER_ID)
    incarnation = read_match(message, "incarnation", _INCARNATION)
    events = _READERS[kind](message, worker_id, incarnation, book)
    return Message(
        kind,
        worker_id,
        incarnation,
        read_int(message, "request"),
        read_number(message, "wait", 0.0, MAX_WAIT_S, default=0.0),
        tuple(events),
        tuple(
            (event.result.job_id, event.result.attempt)
            for event in events
            if isinstance(event, AttemptFinished)
        ),
        _holds(message) if kind == "hello" else (),
    )


def make_reply(
    kind: str,
    epoch: int,
    *,
    work: Sequence[Fields] = (),
    acks: Sequence[Assignment] = (),
    cancel: Sequence[Assignment] = (),
    recall: Sequence[Assignment] = (),
    curtail: Sequence[Assignment] = (),
    dismiss: Fields | None = None,
    **more: Any,
) -> dict[str, Any]:
    """Build a reply of kind ``ok``, ``unknown`` or ``refused``; all keys are always there."""
    return {
        "v": PROTOCOL,
        "kind": kind,
        "epoch": epoch,
        "work": list(work),
        "acks": list(acks),
        "cancel": list(cancel),
        "recall": list(recall),
        "curtail": list(curtail),
        "dismiss": dismiss,
        **more,
    }


# ------------------------------------------------------------------- one reader a kind


def _read_hello(message: Fields, worker_id: str, incarnation: str, book: str) -> list[Event]:
    info = message.get("info")
    if not isinstance(info, dict):
        raise wrong("info", info, "an object")
    details = info.get("details", {})
    if not isinstance(details, dict):
        raise wrong("details", details, "an object")
    worker = WorkerInfo(
        worker_id,
        incarnation,
        host=read_text(info, "host", 255),
        pid=read_int(info, "pid", default=0),
        slots=read_int(info, "slots", 1, MAX_ITEMS, default=1),
        prefetch=read_int(info, "prefetch", 0, MAX_ITEMS, default=0),
        device=read_text(info, "device", 255),
        details=details,
    )
    joined = WorkerJoined(worker, _holds(message))
    inherited = [item for item in read_list(message, "done") if _book_of(item) == book]
    return [joined, *read_results(inherited, worker_id, incarnation)]


def _read_step(message: Fields, worker_id: str, incarnation: str, book: str) -> list[Event]:
    seen = WorkerSeen(worker_id, incarnation, draining=_leaving(message))
    handed_in = read_results(read_list(message, "done"), worker_id, incarnation)
    reports = _reports(message, worker_id, incarnation)
    return [seen, *reports, *handed_in, *_released(message, worker_id, incarnation)]


def _read_beat(message: Fields, worker_id: str, incarnation: str, book: str) -> list[Event]:
    seen = WorkerSeen(worker_id, incarnation, _holds(message), _leaving(message))
    reports = _reports(message, worker_id, incarnation)
    return [seen, *reports, *_released(message, worker_id, incarnation)]


def _read_bye(message: Fields, worker_id: str, incarnation: str, book: str) -> list[Event]:
    left = WorkerLeft(worker_id, incarnation, read_text(message, "reason", MAX_OUTPUT))
    return [*_released(message, worker_id, incarnation), left]


_READERS: dict[str, Callable[[Fields, str, str, str], list[Event]]] = {
    "hello": _read_hello,
    "step": _read_step,
    "beat": _read_beat,
    "bye": _read_bye,
}


def read_results(items: Sequence[Any], worker_id: str, incarnation: str) -> list[Event]:
    """Read what a worker hands in: results of its own, and those of dead ones, by their names.

    Raises
    ------
    ProtocolMismatch
        As `read_message`.
    """
    events: list[Event] = []
    for index, item in enumerate(items):
        result = _result(item, f"done[{index}]")
        former = read_match(item, "worker", _WORKER_ID) if "worker" in item else ""
        events.append(AttemptFinished(worker_id, incarnation, result, former))
    return events


def _book_of(item: Any) -> Any:
    return item.get("book") if isinstance(item, dict) else None


def _reports(message: Fields, worker_id: str, incarnation: str) -> list[Event]:
    events: list[Event] = []
    for row in read_list(message, "reports"):
        if not is_row(row, 4) or not is_int(row[2]) or not is_number(row[3]):
            raise wrong("reports", row, "[job, attempt, step, loss]")
        events.append(ProgressReported(worker_id, incarnation, *row))
    return events


def _released(message: Fields, worker_id: str, incarnation: str) -> list[Event]:
    events: list[Event] = []
    for row in read_list(message, "released"):
        if not is_row(row, 3) or not isinstance(row[2], str) or len(row[2]) > MAX_OUTPUT:
            raise wrong("released", row, "[job, attempt, reason]")
        events.append(AttemptReleased(worker_id, incarnation, *row))
    return events


def _leaving(message: Fields) -> bool:
    leaving = message.get("leaving", False)
    if not isinstance(leaving, bool):
        raise wrong("leaving", leaving, "true or false")
    return leaving


def _holds(message: Fields) -> tuple[Assignment, ...]:
    rows = read_list(message, "holds")
    for row in rows:
        if not is_row(row, 2):
            raise wrong("holds", row, "[job, attempt]")
    return tuple((row[0], row[1]) for row in rows)


def _result(item: Any, where: str) -> AttemptResult:
    if not isinstance(item, dict):
        raise wrong(where, item, "an object")
    return AttemptResult(
        read_int(item, "job_id", where=where),
        read_int(item, "attempt", where=where),
        _outcome(item.get("outcome"), f"{where}.outcome"),
        seconds=read_number(item, "seconds", 0.0, default=0.0, where=where),
        started=read_number(item, "started", 0.0, default=0.0, where=where),
        output=read_text(item, "output", MAX_OUTPUT, where=where),
    )


def _outcome(data: Any, where: str) -> Outcome:
    try:
        outcome = outcome_from_json(data)
    except ConfigurationError as error:
        raise wrong(where, data, "a loss or a failure", cause=error.what) from None
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise wrong(where, data, "a loss or a failure", cause=repr(error)) from None
    if outcome is None or (isinstance(outcome, Success) and outcome.loss is None):
        raise wrong(where, data, "a loss or a failure")
    if isinstance(outcome, Failure):
        for text in (outcome.message, outcome.traceback):
            if not isinstance(text, str) or len(text) > MAX_OUTPUT:
                raise wrong(where, text, f"told in at most {MAX_OUTPUT} characters")
    return outcome

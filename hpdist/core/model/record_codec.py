"""Records and outcomes as plain JSON data, and back."""

from __future__ import annotations

from typing import Any

from hpdist.core.model.events import (
    AttemptEnded,
    AttemptStarted,
    AttemptStoppedEarly,
    Controlled,
    JobCreated,
    Record,
    ReportReceived,
    RunCreated,
    RunEnded,
    RunResumed,
    WorkerChanged,
)
from hpdist.core.model.states import Command, EndReason, FailureKind, Word, WorkerState
from hpdist.core.model.values import Failure, Job, JsonValue, Outcome, Success, Trial, WorkerInfo

RECORDS: dict[str, type[Any]] = {
    kind.kind: kind
    for kind in (
        RunCreated,
        JobCreated,
        AttemptStarted,
        AttemptEnded,
        WorkerChanged,
        ReportReceived,
        AttemptStoppedEarly,
        Controlled,
        RunResumed,
        RunEnded,
    )
}


_NESTED = {"job": ("job", "trial"), "done": ("outcome",), "worker": ("worker",)}
"""Fields, by kind of record, whose values are not JSON themselves."""

_WORDS: dict[type[Any], tuple[str, type[Word]]] = {
    WorkerChanged: ("state", WorkerState),
    Controlled: ("command", Command),
    RunEnded: ("reason", EndReason),
}
"""Fields that hold one of a few words; a record with another word is refused."""


def record_to_json(record: Record) -> dict[str, JsonValue]:
    """Turn a record into plain JSON data; ``kind`` comes first."""
    data: dict[str, JsonValue] = {"kind": record.kind, **vars(record)}
    for name in _NESTED.get(record.kind, ()):
        data[name] = _plain(data[name])
    return data


def record_from_json(data: dict[str, JsonValue]) -> Record:
    """Build the record that `record_to_json` turned into ``data``.

    Raises
    ------
    KeyError, TypeError, ValueError
        If ``data`` is no record of a known kind.
    """
    fields = {name: value for name, value in data.items() if name not in ("kind", "at")}
    kind = RECORDS[data["kind"]]
    if kind is JobCreated:
        trial = fields.get("trial")
        job = Job(**fields["job"])
        return JobCreated(job, None if trial is None else _trial(trial))
    if kind is AttemptEnded:
        fields["outcome"] = outcome_from_json(fields["outcome"])
    if kind is WorkerChanged:
        fields["worker"] = WorkerInfo(**fields["worker"])
    if kind in _WORDS:
        name, words = _WORDS[kind]
        fields[name] = words(fields[name])
    record: Record = kind(**fields)
    return record


def outcome_to_json(outcome: Outcome | None) -> JsonValue:
    """Turn an outcome into plain JSON data; a failure has a key ``failure``."""
    if isinstance(outcome, Failure):
        data = {"failure": outcome.kind.value, "message": outcome.message}
        return data | ({"traceback": outcome.traceback} if outcome.traceback else {})
    return None if outcome is None else dict(vars(outcome))


def outcome_from_json(data: JsonValue) -> Outcome | None:
    """Build the outcome that `outcome_to_json` turned into ``data``."""
    if data is None:
        return None
    if "failure" in data:
        kind = FailureKind(data["failure"])
        return Failure(kind, data["message"], data.get("traceback", ""))
    return Success(**data)


def _trial(data: dict[str, JsonValue]) -> Trial:
    return Trial(
        data["trial_id"], tuple(data["config_id"]), data["config"], data.get("config_info", {})
    )


def _plain(value: object) -> JsonValue:
    if isinstance(value, Success | Failure):
        return outcome_to_json(value)
    if isinstance(value, Trial | Job | WorkerInfo):
        return dict(vars(value))
    return value

"""The replies of a dispatcher to its workers."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

from hpdist.core.model.errors import ProtocolMismatch, TransportError
from hpdist.core.model.events import Assignment
from hpdist.core.model.field_codec import (
    Fields,
    attempts,
    flag,
    from_json,
    integer,
    is_int,
    list_of,
    nested,
    nested_or_null,
    number,
    one_of,
    optional,
    text,
    to_json,
)
from hpdist.core.model.json_codec import MAX_TEXT
from hpdist.core.model.payload import Payload
from hpdist.core.remote.messages import PROTOCOL

OK, UNREGISTERED, REFUSED = "ok", "unregistered", "refused"
"""Kinds of replies: the second requires a worker to register, the third has a reason."""

_SHORTEST_S = 0.001
_SECONDS = number(_SHORTEST_S, threading.TIMEOUT_MAX)
_ATTEMPTS = optional(attempts())


@dataclass(frozen=True)
class AssignedAttempt:
    """An attempt that the worker has to run, with its payload."""

    job_id: int = field(metadata=integer())
    attempt: int = field(metadata=integer())
    payload: Payload = field(metadata=nested(Payload))

    @property
    def assignment(self) -> Assignment:
        """Job id and attempt number."""
        return self.job_id, self.attempt


@dataclass(frozen=True)
class SessionSettings:
    """Settings that a worker gets when it is registered: intervals, and the run instance."""

    lease_s: float = field(metadata=_SECONDS)
    heartbeat_s: float = field(metadata=_SECONDS)
    poll_s: float = field(metadata=_SECONDS)
    instance: str = field(default="", metadata=optional(text(64)))


@dataclass(frozen=True)
class Shutdown:
    """The worker has to leave: after the attempts in flight (``drain``), or at once."""

    drain: bool = field(metadata=flag())
    reason: str = field(metadata=text(MAX_TEXT))


@dataclass(frozen=True)
class Reply:
    """The reply of a dispatcher to a message.

    ``acknowledged`` are attempts whose results the worker may delete; ``cancel``, ``recall`` and
    ``stop_early`` those that it has to end, release if they have not started, or ask to return
    soon. ``settings`` are set when the worker is registered, ``message`` when it is refused.
    """

    kind: str = field(metadata=one_of(OK, UNREGISTERED))
    epoch: int = field(metadata=integer())
    assignments: tuple[AssignedAttempt, ...] = field(
        default=(), metadata=optional(list_of(AssignedAttempt))
    )
    acknowledged: tuple[Assignment, ...] = field(default=(), metadata=_ATTEMPTS)
    cancel: tuple[Assignment, ...] = field(default=(), metadata=_ATTEMPTS)
    recall: tuple[Assignment, ...] = field(default=(), metadata=_ATTEMPTS)
    stop_early: tuple[Assignment, ...] = field(default=(), metadata=_ATTEMPTS)
    shutdown: Shutdown | None = field(default=None, metadata=optional(nested_or_null(Shutdown)))
    settings: SessionSettings | None = field(
        default=None, metadata=optional(nested_or_null(SessionSettings))
    )
    message: str = field(default="", metadata=optional(text(MAX_TEXT)))


def write_reply(reply: Reply) -> dict[str, Any]:
    """Return a reply as a JSON object."""
    return {"v": PROTOCOL, **to_json(reply)}


def read_reply(data: Fields) -> Reply:
    """Build the reply that `write_reply` turned into ``data``, after `check_reply`.

    Raises
    ------
    ProtocolMismatch
        If a field is missing or malformed; the error names it.
    """
    return from_json(Reply, data)


def check_reply(data: dict[str, Any], epoch: int) -> dict[str, Any]:
    """Return a reply for a peer that knows the dispatcher of ``epoch``, unless it is a refusal.

    Raises
    ------
    ProtocolMismatch
        If the dispatcher refuses, or has another version.
    TransportError
        If a dispatcher refuses that was replaced: its successor may have another address.
    """
    kind = data.get("kind")
    if kind == REFUSED and is_int(data.get("epoch")) and 0 < data["epoch"] < epoch:
        raise TransportError(f"a dispatcher that was replaced refused: {data.get('message')}")
    if data.get("v") != PROTOCOL or not isinstance(kind, str):
        raise ProtocolMismatch(f"the dispatcher's reply is not one of protocol {PROTOCOL}")
    if kind == REFUSED:
        raise ProtocolMismatch(f"the dispatcher refused: {data.get('message')}")
    return data

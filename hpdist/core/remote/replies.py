"""What a dispatcher answers its workers, read field by field before anything is done about it."""

from __future__ import annotations

import threading
from typing import Any

from hpdist.core.model.errors import ProtocolMismatch, TransportError
from hpdist.core.model.fields import (
    Fields,
    is_int,
    is_row,
    read_int,
    read_list,
    read_number,
    read_text,
    wrong,
)
from hpdist.core.model.payload import read_payload
from hpdist.core.remote.messages import PROTOCOL

_KINDS = ("ok", "unknown")
_TERMS = ("lease_s", "heartbeat_s", "poll_s")
_SHORTEST_S = 0.001


def check_reply(reply: dict[str, Any], epoch: int) -> dict[str, Any]:
    """Return a reply to who has met the dispatcher of ``epoch``, unless it refuses or is foreign.

    Raises
    ------
    ProtocolMismatch
        If it refuses, or speaks another version.
    TransportError
        If it refuses for a dispatcher that was replaced: its successor may be found elsewhere.
    """
    if reply.get("kind") == "refused" and is_int(reply.get("epoch")) and 0 < reply["epoch"] < epoch:
        raise TransportError(f"a dispatcher that was replaced refused: {reply.get('message')}")
    if reply.get("v") != PROTOCOL or not isinstance(reply.get("kind"), str):
        raise ProtocolMismatch(f"the dispatcher's reply is not one of protocol {PROTOCOL}")
    if reply["kind"] == "refused":
        raise ProtocolMismatch(f"the dispatcher refused: {reply.get('message')}")
    return reply


def read_reply(reply: Fields) -> dict[str, Any]:
    """Return a reply once all that a worker may rely on in it is as it should be.

    Raises
    ------
    ProtocolMismatch
        If a field is missing or is not what it should be; the message names it.
    """
    if reply.get("kind") not in _KINDS:
        raise wrong("kind", reply.get("kind"), "one of " + ", ".join(_KINDS))
    read_int(reply, "epoch")
    for name in ("acks", "cancel", "recall", "curtail"):
        for row in read_list(reply, name):
            if not is_row(row, 2):
                raise wrong(name, row, "[job, attempt]")
    for index, item in enumerate(read_list(reply, "work")):
        _check_work(item, f"work[{index}]")
    _check_dismissal(reply.get("dismiss"))
    if "terms" in reply:
        _check_terms(reply["terms"])
    return dict(reply)


def _check_work(item: Any, where: str) -> None:
    payload = item.get("payload") if isinstance(item, dict) else None
    if not isinstance(payload, dict):
        raise wrong(where, item, "an object with job, attempt and payload")
    read_int(item, "job", where=where)
    read_int(item, "attempt", where=where)
    read_payload(payload, where)


def _check_dismissal(dismissed: Any) -> None:
    if dismissed is None:
        return
    told = (dismissed.get("drain"), dismissed.get("reason")) if isinstance(dismissed, dict) else ()
    if [type(each) for each in told] != [bool, str]:
        raise wrong("dismiss", dismissed, "drain, true or false, and a reason")


def _check_terms(terms: Any) -> None:
    if not isinstance(terms, dict):
        raise wrong("terms", terms, "an object")
    for name in _TERMS:
        read_number(terms, name, _SHORTEST_S, threading.TIMEOUT_MAX, default=0.0, where="terms")
    read_text(terms, "book", 64, where="terms")

"""What a dispatcher answers its workers, read field by field before anything is done about it."""

from __future__ import annotations

import threading
from typing import Any

from hpdist.core.model.errors import ProtocolMismatch, TransportError
from hpdist.core.remote.fields import (
    Fields,
    is_int,
    is_number,
    is_row,
    read_int,
    read_list,
    read_number,
    read_text,
    wrong,
)
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
    read_int(payload, "trial_id", where=where)
    read_int(payload, "seed", where=where)
    _check_budget(payload, where)
    for name in ("config", "config_info"):
        if not isinstance(payload.get(name), dict):
            raise wrong(f"{where}.{name}", payload.get(name), "an object")
    config_id = payload.get("config_id")
    if not isinstance(config_id, list) or [type(each) for each in config_id] != [int] * 3:
        raise wrong(f"{where}.config_id", config_id, "three integers")
    objectives = payload.get("objectives", ["loss"])
    if not isinstance(objectives, list) or {type(name) for name in objectives} != {str}:
        raise wrong(f"{where}.objectives", objectives, "names")
    previous = payload.get("previous")
    if previous is None:
        return
    if not isinstance(previous, dict) or not is_int(previous.get("attempt")):
        raise wrong(f"{where}.previous", previous, "a budget and an attempt, or nothing")
    _check_budget(previous, f"{where}.previous")


def _check_budget(data: Fields, where: str) -> None:
    if not is_number(data.get("budget")):
        raise wrong(f"{where}.budget", data.get("budget"), "a finite number")


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

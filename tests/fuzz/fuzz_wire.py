"""What is said over the network once the key is shown: by workers, operators, and dispatchers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fuzz_files import scratch
from fuzz_mutation import JSON
from fuzz_target import Target

from hpdist.cluster.discovery import RunAddress
from hpdist.cluster.service import Service
from hpdist.core.attempt.attempt_directories import AttemptDirectories
from hpdist.core.journal import format as journal_format
from hpdist.core.model.errors import ProtocolMismatch
from hpdist.core.model.events import (
    AttemptEnded,
    AttemptFinished,
    AttemptResult,
    Event,
    WorkerChanged,
    WorkerJoined,
)
from hpdist.core.model.field_codec import to_json
from hpdist.core.model.json_codec import decode, encode
from hpdist.core.model.limits_and_timing import Timing
from hpdist.core.model.orders import (
    Acknowledge,
    Launch,
    Order,
    Registered,
)
from hpdist.core.model.payload import PreviousAttempt
from hpdist.core.model.record_codec import outcome_to_json
from hpdist.core.model.states import FailureKind
from hpdist.core.model.values import Failure, Success
from hpdist.core.objective.context import Context
from hpdist.core.remote.executor import RemoteExecutor
from hpdist.core.remote.in_flight import InFlight
from hpdist.core.remote.messages import Poll
from hpdist.core.remote.outbox import Outbox
from hpdist.core.remote.replies import (
    AssignedAttempt,
    Reply,
    SessionSettings,
    Shutdown,
    read_reply,
    write_reply,
)
from hpdist.testing.executors import payload_of

_TIMING = Timing(lease_s=1.0, heartbeat_s=0.001, poll_s=0.001)
_PAYLOAD = payload_of({"x": 0.5, "opt": "adam"}, previous=PreviousAttempt(1.0, 1))
_ROOT = Path("/nowhere/run")


def exchange(message: Mapping[str, Any]) -> dict[str, Any]:
    """Answer as a dispatcher that has just begun, and welcomes everybody and everything."""
    executor = RemoteExecutor(_TIMING, 3, "run", "instance")

    def post(events: Sequence[Event]) -> None:
        for event in events:
            _must_be_recordable(event)
        executor.perform([order for event in events for order in _orders(event)])

    executor.start(post)
    return executor.exchange(message)


def control(message: Mapping[str, Any]) -> dict[str, Any]:
    """Answer a command as a dispatcher does."""
    return Service(RunAddress("run"))._control(message)


def _orders(event: Event) -> list[Order]:
    if isinstance(event, WorkerJoined):
        who = event.worker.worker_id, event.worker.incarnation
        return [Registered(*who), Launch(*who, 1, 1, _PAYLOAD)]
    if isinstance(event, AttemptFinished):
        held = event.result.job_id, event.result.attempt
        return [Acknowledge(event.worker_id, event.incarnation, *held)]
    return []


def _must_be_recordable(event: Event) -> None:
    if isinstance(event, WorkerJoined):
        journal_format.encode(WorkerChanged("joined", event.worker), 0.0, 0)
    if isinstance(event, AttemptFinished):
        told = event.result
        record = AttemptEnded(told.job_id, told.attempt, "w", told.outcome, output=told.output)
        line, _ = journal_format.encode(record, 0.0, 0)
        assert journal_format.scan(line).records == [(0.0, record)]


def _text(data: bytes) -> None:
    message = decode(data.decode("utf-8", "surrogateescape"))
    assert decode(encode(message)) == message


def _message(data: bytes) -> None:
    reply = exchange(decode(data.decode("utf-8", "replace")))
    arrived = decode(encode(reply))
    if arrived["kind"] != "refused":
        assert write_reply(read_reply(arrived)) == reply


def _command(data: bytes) -> None:
    reply = decode(encode(control(decode(data.decode("utf-8", "replace")))))
    assert reply["kind"] in ("ok", "refused")


def _reply(data: bytes) -> None:
    """A worker does what it is told, within its own directory, or refuses all of it."""
    reply = read_reply(decode(data.decode("utf-8", "replace")))
    mine = InFlight(Outbox(Path(scratch().name, "outbox"), "w", "0" * 8))
    mine.accept([AssignedAttempt(1, 1, _PAYLOAD)])
    taken = mine.start_next()
    assert taken is not None
    mine.finish((1, 1), AttemptResult(1, 1, Success(0.5)))
    mine.replied(_poll(mine), reply)
    mine.accept(reply.assignments)
    mine.execute_commands(reply)
    while (taken := mine.start_next()) is not None:
        held, payload, _ = taken
        own, _ = AttemptDirectories().of(_ROOT, payload, held[1])
        assert own.is_relative_to(_ROOT / "configs")
        assert ".." not in own.parts
        Context(payload, held[1], own)
    encode(to_json(_poll(mine)))
    mine.replied(_poll(mine), Reply("ok", 1, acknowledged=((1, 1),)))


def _poll(mine: InFlight) -> Poll:
    return Poll(worker="w", incarnation="0" * 8, request=1, **vars(mine.unreported()))


def _json(*values: object) -> tuple[bytes, ...]:
    return tuple(json.dumps(value).encode() for value in values)


_WHO = {"v": 1, "run": "run", "epoch": 3, "instance": "instance", "worker": "host-1-0",
        "incarnation": "0123456789abcdef", "request": 4, "draining": False}  # fmt: skip
_OUTCOMES = [
    Success(0.25),
    Success(-1.5, 3, {"accuracy": [0.5, None, True], "text": "é\U0001f600"}),
    Failure(FailureKind.EXCEPTION, "ValueError: x", "Traceback ..."),
    Failure(FailureKind.CRASH, "killed by SIGKILL (9)"),
]
_RESULTS = [
    {**vars(AttemptResult(job, 2, outcome, 0.5, 1.7e9, "out")), "outcome": outcome_to_json(outcome)}
    for job, outcome in enumerate(_OUTCOMES)
]
_INFO = {"host": "host", "pid": 77, "slots": 2, "prefetch": 1, "device": "cuda:0",
         "details": {"hpdist": "0.1.0", "python": "3.11.7"}}  # fmt: skip
MESSAGES = _json(
    {**_WHO, "kind": "register", "info": _INFO, "in_flight": [[1, 1], [2, 3]]},
    {**_WHO, "kind": "poll", "wait": 10.0, "results": _RESULTS, "released": [[5, 1, "cancelled"]]},
    {**_WHO, "kind": "heartbeat", "wait": 5, "in_flight": [[1, 1]], "progress": [[1, 1, 7, 0.5]]},
    {**_WHO, "kind": "deregister", "reason": "finished", "released": []},
)
COMMANDS = _json(
    *(
        {"v": 1, "run": "run", "command": command, "arguments": arguments}
        for command, arguments in (
            ("who", {}),
            ("stop", {"reason": "enough"}),
            ("drain", {}),
            ("cancel", {"jobs": [1, 2], "reason": "no"}),
            ("retry", {"jobs": [3]}),
            ("extend", {"n_trials": 10, "max_cost": 1.5, "target_loss": -2}),
        )
    )
)
_ASSIGNMENTS = (AssignedAttempt(7, 2, _PAYLOAD), AssignedAttempt(8, 1, _PAYLOAD))
_SETTINGS = SessionSettings(30.0, 5.0, 10.0, "instance")
REPLIES = _json(
    *(
        write_reply(reply)
        for reply in (
            Reply("ok", 3, _ASSIGNMENTS, acknowledged=((1, 1),), settings=_SETTINGS),
            Reply("ok", 3, cancel=((7, 2),), recall=((8, 1),)),
            Reply("ok", 3, stop_early=((1, 1),)),
            Reply("ok", 3, shutdown=Shutdown(drain=True, reason="finished")),
            Reply("unregistered", 4),
        )
    )
)

TARGETS = (
    Target("text", _text, (*MESSAGES, *COMMANDS, *REPLIES), (ProtocolMismatch,), JSON),
    Target("message", _message, MESSAGES, (ProtocolMismatch,), JSON),
    Target("command", _command, COMMANDS, (ProtocolMismatch,), JSON),
    Target("reply", _reply, REPLIES, (ProtocolMismatch,), JSON),
)

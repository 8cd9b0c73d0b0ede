"""What comes out of user code: a child's pipe, and what an objective returns."""

from __future__ import annotations

import collections.abc
import dataclasses
import datetime
import enum
import itertools
import json
import math
from pathlib import PurePath
from typing import Any

import numpy as np
from fuzz_mutation import JSON
from fuzz_target import Target

from hpdist.core.attempt.child_messages import (
    MalformedMessageError,
    check_outcome,
    check_report,
    parse_message,
)
from hpdist.core.attempt.pipe_framing import FrameError, FrameReader, frame
from hpdist.core.journal import format as journal_format
from hpdist.core.model.events import AttemptEnded
from hpdist.core.model.json_codec import decode, encode
from hpdist.core.model.record_codec import outcome_to_json
from hpdist.core.model.values import Failure, Outcome, Success
from hpdist.core.objective.returned_value import normalise_result
from hpdist.core.remote.messages import read_message


def _must_travel(outcome: Outcome) -> None:
    """What a worker holds can be sent, understood and recorded: or it would end the worker."""
    done = {"job_id": 1, "attempt": 1, "outcome": outcome_to_json(outcome)}
    who = {"worker": "w", "incarnation": "0" * 8, "request": 1, "epoch": 1, "kind": "poll"}
    (_, told) = read_message(decode(encode({**who, "results": [done]}))).events()
    assert told.result.outcome == outcome  # type: ignore[union-attr]
    line, _ = journal_format.encode(AttemptEnded(1, 1, "w", outcome), 0.0, 0)
    assert journal_format.scan(line).good_bytes == len(line)


def _pipe(data: bytes) -> None:
    reader, piece = FrameReader(), 1 + (data[0] if data else 0) * 16
    for at in range(1, len(data), piece):
        for body in reader.feed(data[at : at + piece]):
            _understand(body)


def _body(data: bytes) -> None:
    (body,) = FrameReader().feed(frame(data))
    _understand(body)


def _understand(body: bytes) -> None:
    kind, _, content = parse_message(body)
    if kind == "report":
        step, loss = check_report(*content)
        report = [1, 1, step, loss]
        who = {"worker": "w", "incarnation": "0" * 8, "request": 1, "epoch": 1, "kind": "heartbeat"}
        read_message(decode(encode({**who, "progress": [report]}))).events()
    else:
        _must_travel(check_outcome(content[0], "train"))


# ------------------------------------------------------------------- results


class _Colour(enum.Enum):
    RED = "red"
    PAIR = (1, 2)


@dataclasses.dataclass
class _Point:
    x: Any = 1
    y: Any = "\ud800"


class _Endless(collections.abc.Mapping[str, int]):
    """Says that it is empty, and goes on for ever."""

    def __getitem__(self, key: str) -> int:
        return 1

    def __len__(self) -> int:
        return 0

    def __iter__(self) -> Any:
        return map(str, itertools.count())


class _Spiteful:
    def __repr__(self) -> str:
        return "\udcff" * 200

    @property
    def shape(self) -> tuple[int, ...]:
        raise ValueError(self)


class _Liar:
    shape = (10**9, 10**9)

    def tolist(self) -> list[int]:
        return [0] * 3


class _Number(float):
    def __repr__(self) -> str:
        raise RuntimeError("no")


def _looped() -> list[Any]:
    value: list[Any] = [1]
    value.append(value)
    return value


_ATOMS: dict[str, Any] = {
    "nan": math.nan, "inf": math.inf, "huge": 10**400, "long": 1 << 20_000, "bytes": b"x",
    "half": np.float16(0.5), "single": np.float32("nan"), "extended": np.longdouble(0.5),
    "numpy int": np.int64(-3), "numpy bool": np.bool_(True), "numpy text": np.str_("é"),
    "numpy date": np.datetime64("2020-01-01"), "array": np.arange(6).reshape(2, 3),
    "empty": np.zeros((0, 3)), "large": np.zeros(20_000), "objects": np.array([{}, None], object),
    "zero-dimensional": np.array(0.25), "complex": 1j, "enum": _Colour.RED, "list": _Colour.PAIR,
    "point": _Point(), "class": _Point, "path": PurePath("a/b"), "day": datetime.date(2020, 1, 1),
    "span": datetime.timedelta(days=10**6), "set": {1, "1", None}, "loop": _looped(),
    "endless": _Endless(), "spite": _Spiteful(), "lie": _Liar(), "number": _Number(0.5),
    "surrogate": "a\udcffb", "text": "x" * 2_000_000, "wide": dict.fromkeys(range(10_001)),
    "keys": {1: 0, "1": 0}, "bad key": {1.5: 0, None: 1}, "tuple": (1, (2, (3,))),
}  # fmt: skip
"""Values that JSON has no words for, by the text ``@name``."""


def _built(value: Any) -> Any:
    if isinstance(value, str) and value.startswith("@"):
        return _ATOMS.get(value[1:], value)
    if isinstance(value, list):
        return [_built(each) for each in value]
    if isinstance(value, dict):
        return {key: _built(each) for key, each in value.items()}
    return value


def _result(data: bytes) -> None:
    try:
        value = _built(json.loads(data))
    except (ValueError, RecursionError):
        return  # these bytes describe no value
    outcome = normalise_result(value, "train")
    assert isinstance(outcome, Success | Failure)
    _must_travel(outcome)


def _json(*values: object) -> tuple[bytes, ...]:
    return tuple(json.dumps(value).encode() for value in values)


_BODIES = _json(
    {"report": [1, 5, 0.25]},
    {"done": [1, {"loss": 0.5, "cost": 2.0, "info": {"a": [1, None, "x"]}}]},
    {"done": [1, {"failure": "exception", "message": "ValueError: x", "traceback": "Traceback"}]},
    {"done": [1, {"failure": "memory", "message": "much"}]},
)
_RESULTS = _json(
    *({"loss": 0.5, "info": {"it": f"@{name}"}} for name in _ATOMS),
    *({"loss": f"@{name}", "accuracy": 0.5} for name in _ATOMS),
    *(f"@{name}" for name in _ATOMS),
    {"loss": 1, "cost": 2, "info": {"a": [1.5, {"b": None}]}},
)

TARGETS = (
    Target(
        "pipe of a child",
        _pipe,
        (b"\xff" + b"".join(frame(body) for body in _BODIES), b"\x00" + frame(_BODIES[1])),
        (FrameError, MalformedMessageError),
    ),
    Target("message of a child", _body, _BODIES, (MalformedMessageError,), JSON),
    Target("result", _result, _RESULTS, (), JSON),
)

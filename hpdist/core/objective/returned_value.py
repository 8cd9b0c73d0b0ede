"""Convert what an objective returned to plain data that can be sent and recorded.

numpy and torch are recognised by their attributes and never imported. The work is bounded whatever
comes in: at most `MAX_NODES` values are converted, `MAX_DEPTH` levels deep.
"""

from __future__ import annotations

import json
import math
import operator
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta
from enum import Enum
from itertools import islice
from pathlib import PurePath
from typing import Any

from hpdist.core.model.states import FailureKind
from hpdist.core.model.values import Failure, JsonValue, Success

MAX_BYTES = 2**20
"""How long ``info`` may be, as JSON."""

MAX_DEPTH = 32
MAX_NODES = 10_000

_KEYS = {"loss", "cost", "info"}
_MAX_BITS = 64
_NUMBER_BYTES = 20
_RESULTS = (
    "a finite number (Python's, numpy's or torch's) or a dict with such a number as 'loss' and, "
    "if wanted, 'cost' (a number) and 'info'"
)
_VALUES = (
    "None, bool, int of 64 bits, float, str, list, tuple, set, dict, dataclass, Enum, Path, "
    "date, time, timedelta, and numpy or torch scalars and arrays"
)


def normalise_result(value: object, function_name: str) -> Success | Failure:
    """Turn what an objective returned into a `Success`, or a `Failure` with the reason.

    A dict's keys other than ``loss``, ``cost`` and ``info`` are added to ``info``, which must
    then be absent or a dict without these keys. In ``info``, keys that are ints become text,
    tuples, sets and arrays become lists, and numbers that are not finite become the text
    "nan", "inf" or "-inf", since JSON has none.
    """
    try:
        return _success(value)
    except InvalidResult as error:
        problem = str(error)
    except Exception as error:  # noqa: BLE001 - the methods of foreign objects run in here
        problem = f"{_short_repr(value)} cannot be read: {type(error).__name__}: {_text_of(error)}"
    return Failure(FailureKind.INVALID, f"the result of {function_name} is invalid: {problem}")


def to_number(value: object) -> float | None:
    """Return a Python, numpy or torch scalar as a float; None if it is no number.

    A bool is no number; an int beyond the range of float is infinite.
    """
    plain = _unwrapped(value)
    if isinstance(plain, bool) or not isinstance(plain, int | float):
        return None
    try:
        return float(plain)
    except OverflowError:
        return math.inf


class InvalidResult(Exception):
    """A returned value is not a result; the message has the reason."""


def _success(value: object) -> Success:
    if not isinstance(value, Mapping):
        return Success(_number(value, "it", _RESULTS))
    if "loss" not in value:
        keys = reprlib.repr(list(islice(value, 10))) if value else "no keys"
        raise InvalidResult(f"the dict has no 'loss', only {keys}; accepted are {_RESULTS}")
    loss = _number(value["loss"], "'loss'", "finite numbers")
    cost = value.get("cost")
    if cost is not None:
        cost = _number(cost, "'cost'", "finite numbers and None")
    info = _merged(value)
    return Success(loss, cost, None if info is None else _Plain().info(info))


def _number(value: object, where: str, accepted: str) -> float:
    number = to_number(value)
    if number is None or not math.isfinite(number):
        raise InvalidResult(f"{where} is {_short_repr(value)}; accepted are {accepted}")
    return number


def _merged(result: Mapping[Any, Any]) -> object:
    """Return ``info``, with the keys beside the known ones added to it."""
    info = result.get("info")
    if type(result) is dict and result.keys() <= _KEYS:
        return info
    extra = {key: result[key] for key in _keys(result) if key not in _KEYS}
    if not extra:
        return info
    if info is None:
        return extra
    if not isinstance(info, Mapping) or any(key in info for key in extra):
        raise InvalidResult(
            f"the keys {reprlib.repr(list(extra))} cannot be added to 'info', which is "
            f"{_short_repr(info)}; put them into 'info' under names of their own"
        )
    return {key: info[key] for key in _keys(info)} | extra


def _keys(mapping: Mapping[Any, Any]) -> list[Any]:
    """Return the keys of a mapping, which may be a foreign object whose iteration never ends."""
    keys = list(islice(mapping, MAX_NODES + 1))
    if len(keys) > MAX_NODES:
        raise InvalidResult(f"the dict has more than {MAX_NODES:,} keys")
    return keys


class _Plain:
    """Converts one ``info``, counting the values converted so far."""

    def __init__(self) -> None:
        self._nodes = 0
        self._size = 0
        self._rules: tuple[tuple[Any, Callable[[Any, str, int], JsonValue]], ...] = (
            (bool | None, lambda value, path, depth: value),
            (Enum, lambda value, path, depth: self._convert(value.value, path, depth + 1)),
            (str, lambda value, path, depth: self._text(value)),
            (int, lambda value, path, depth: self._integer(value, path)),
            (float, lambda value, path, depth: self._real(value)),
            (Mapping, self._mapping),
            (list | tuple, self._sequence),
            (set | frozenset, self._set),
            (PurePath, lambda value, path, depth: self._text(str(value))),
            (datetime | date | time, lambda value, path, depth: value.isoformat()),
            (timedelta, lambda value, path, depth: value.total_seconds()),
        )

    def info(self, info: object) -> JsonValue:
        sizes: dict[str, int] = {}
        if isinstance(info, Mapping):
            plain: JsonValue = self._mapping(info, "info", 1, sizes)
        else:
            plain = self._convert(info, "info", 1)
        if self._size > MAX_BYTES or len(json.dumps(plain, allow_nan=False)) > MAX_BYTES:
            largest = max(sizes, key=sizes.__getitem__) if sizes else None
            where = "info" if largest is None else f"info[{reprlib.repr(largest)}]"
            raise InvalidResult(
                f"'info' is larger than {MAX_BYTES:,} bytes as JSON, the most of it in {where}; "
                "write large things to a file in ctx.directory"
            )
        return plain

    def _convert(self, value: Any, path: str, depth: int) -> JsonValue:
        self._nodes += 1
        self._count(1 if self._nodes > MAX_NODES else 0, path)
        if depth > MAX_DEPTH:
            raise InvalidResult(f"{path[:80]}... is nested deeper than {MAX_DEPTH} levels")
        for kinds, rule in self._rules:
            if isinstance(value, kinds):
                return rule(value, path, depth)
        return self._object(value, path, depth)

    def _count(self, nodes: int, path: str) -> None:
        """Check that so many values more are not too many."""
        if nodes and self._nodes + nodes > MAX_NODES:
            raise InvalidResult(
                f"{path} brings 'info' to more than {MAX_NODES:,} values; "
                "write large things to a file in ctx.directory"
            )

    def _text(self, value: str) -> str:
        self._size += len(value)
        if self._size > MAX_BYTES:
            return ""  # to be rejected: only the sizes still matter
        try:
            value.encode()
        except UnicodeEncodeError:  # lone surrogates, which no file or wire can carry
            return value.encode("utf-8", "backslashreplace").decode()
        return str(value)

    def _integer(self, value: int, path: str) -> int:
        self._size += _NUMBER_BYTES
        if value.bit_length() > _MAX_BITS:
            raise InvalidResult(
                f"{path} is an int of {value.bit_length():,} bits; at most {_MAX_BITS} are "
                "accepted, return it as text"
            )
        return int(value)

    def _real(self, value: float) -> JsonValue:
        self._size += _NUMBER_BYTES
        return float(value) if math.isfinite(value) else str(float(value))

    def _mapping(
        self, value: Mapping[Any, Any], path: str, depth: int, sizes: dict[str, int] | None = None
    ) -> JsonValue:
        self._count(len(value), path)
        plain: dict[str, JsonValue] = {}
        for key, item in value.items():
            before = self._size
            name = self._key(key, path)
            if name in plain:
                raise InvalidResult(f"{path} has two keys that are {reprlib.repr(name)} as text")
            plain[name] = self._convert(item, f"{path}[{reprlib.repr(name)}]", depth + 1)
            if sizes is not None:
                sizes[name] = self._size - before
        return plain

    def _key(self, key: object, path: str) -> str:
        if isinstance(key, str):
            # not emptied like a value that is too large, since the keys must stay apart
            return self._text(key) or str(key)
        if isinstance(key, bool) or not hasattr(key, "__index__"):
            raise InvalidResult(f"{path} has the key {_short_repr(key)}; accepted are str and int")
        return str(self._integer(operator.index(key), path))

    def _sequence(self, value: list[Any] | tuple[Any, ...], path: str, depth: int) -> JsonValue:
        self._count(len(value), path)
        return [self._convert(item, f"{path}[{i}]", depth + 1) for i, item in enumerate(value)]

    def _set(self, value: set[Any] | frozenset[Any], path: str, depth: int) -> JsonValue:
        self._count(len(value), path)
        return sorted((self._convert(item, path, depth + 1) for item in value), key=repr)

    def _object(self, value: Any, path: str, depth: int) -> JsonValue:
        if is_dataclass(value) and not isinstance(value, type):
            members = {each.name: getattr(value, each.name) for each in fields(value)}
            return self._mapping(members, path, depth)
        if not _is_array(value):
            raise InvalidResult(f"{path} is {_short_repr(value)}; accepted are {_VALUES}")
        if tuple(value.shape) == ():
            return self._convert(_unwrapped(value), path, depth + 1)
        self._count(math.prod(value.shape), path)
        return self._convert(value.tolist(), path, depth)


def _is_array(value: object) -> bool:
    return hasattr(value, "shape") and hasattr(value, "tolist")


def _unwrapped(value: Any) -> object:
    """Take a scalar out of numpy or torch; anything else stays as it is."""
    if isinstance(value, int | float) or not _is_array(value) or tuple(value.shape) != ():
        return value
    plain = value.item()
    # numpy's long double is its own item
    return float(plain) if type(plain) is type(value) else plain


def _short_repr(value: object) -> str:
    return f"{_text_of(value)} of type {type(value).__name__}"


def _text_of(value: object) -> str:
    try:
        text = reprlib.repr(value)
    except Exception:  # noqa: BLE001 - a foreign __repr__, or an int too long to print
        return "a value that cannot be printed,"
    return text if len(text) <= 120 else text[:117] + "..."

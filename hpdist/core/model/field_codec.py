"""Frozen dataclasses as JSON objects, and back from JSON that is not trusted.

Each field of such a class has the codec of its value in its metadata: ``budget: float =
field(metadata=number())``. A reader returns a value of one type, or raises `ProtocolMismatch` with
the name of the field. Keys that a class does not know are ignored.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields
from functools import partial
from typing import Any, TypeVar

from hpdist.core.model.errors import ProtocolMismatch
from hpdist.core.model.validation import short_repr

T = TypeVar("T")

Fields = Mapping[str, Any]
"""A JSON object."""

Coding = Mapping[str, Any]
"""How a field is read, and written where its value is no JSON: the metadata of the field."""

MAX_ITEMS = 4096
"""Entries of a list in a message."""

_MAX_INT = 2**53 - 1


def to_json(value: Any) -> dict[str, Any]:
    """Return a coded dataclass as a JSON object; an optional field with its default is left out."""
    data = dict(vars(value))
    table = _table(type(value))
    for name, default in table.optional.items():
        if data[name] == default:
            del data[name]
    for name, write in table.writers:
        if name in data:
            data[name] = write(data[name])
    return data


def from_json(kind: type[T], data: Any, where: str = "") -> T:
    """Build the ``kind`` that `to_json` turned into ``data``.

    Raises
    ------
    ProtocolMismatch
        If a field is missing or malformed; the message names it, after ``where``.
    """
    if not isinstance(data, dict):
        raise wrong(where, data, "an object")
    prefix = f"{where}." if where else ""
    table = _table(kind)
    made = object.__new__(kind)  # the __init__ of a frozen class takes longer than all of this
    values = vars(made)
    values.update(table.optional)
    readers = table.readers
    for name, value in data.items():
        if name in readers:
            values[name] = readers[name](value, prefix + name)
    for name in table.required:
        if name not in values:
            raise wrong(prefix + name, None, "given")
    return made


def wrong(name: str, value: Any, wanted: str, cause: str = "") -> ProtocolMismatch:
    """Return the error for a field whose value is not the ``wanted`` kind."""
    return ProtocolMismatch(
        f"{name} in a message must be {wanted}, got {short_repr(value)}", cause=cause
    )


# ------------------------------------------------------------------- codings of fields


def optional(coding: Coding) -> Coding:
    """Let the field be left out; it has its default value then."""
    return {**coding, "optional": True}


def integer(low: int = 0, high: int = _MAX_INT) -> Coding:
    """Code an integer; a bool is none."""
    return {"read": partial(_read_integer, low, high)}


def _read_integer(low: int, high: int, value: Any, name: str) -> int:
    if type(value) is not int or not low <= value <= high:
        raise wrong(name, value, f"an integer from {low} to {high}")
    return value


def number(low: float = -math.inf, high: float = math.inf) -> Coding:
    """Code a finite number; an int stays one."""

    def read(value: Any, name: str) -> float:
        if not is_number(value) or not low <= value <= high:
            limits = f" from {low:g} to {high:g}" if low > -math.inf else ""
            raise wrong(name, value, f"a finite number{limits}")
        return value  # type: ignore[no-any-return]

    return {"read": read}


def text(longest: int) -> Coding:
    def read(value: Any, name: str) -> str:
        if not isinstance(value, str) or len(value) > longest:
            raise wrong(name, value, f"text of at most {longest} characters")
        return value

    return {"read": read}


def matching(pattern: re.Pattern[str]) -> Coding:
    def read(value: Any, name: str) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise wrong(name, value, f"text like {pattern.pattern}")
        return value

    return {"read": read}


def one_of(*words: str) -> Coding:
    def read(value: Any, name: str) -> str:
        if not isinstance(value, str) or value not in words:
            raise wrong(name, value, "one of " + ", ".join(words))
        return value

    return {"read": read}


def flag() -> Coding:
    def read(value: Any, name: str) -> bool:
        if not isinstance(value, bool):
            raise wrong(name, value, "true or false")
        return value

    return {"read": read}


def json_object() -> Coding:
    def read(value: Any, name: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise wrong(name, value, "an object")
        return value

    return {"read": read}


def nested(kind: type[Any]) -> Coding:
    return {"read": lambda value, name: from_json(kind, value, name), "write": to_json}


def nested_or_null(kind: type[Any]) -> Coding:
    return {
        "read": lambda value, name: None if value is None else from_json(kind, value, name),
        "write": lambda value: None if value is None else to_json(value),
    }


def list_of(kind: type[Any]) -> Coding:
    """Code a tuple of coded dataclasses."""

    def read(value: Any, name: str) -> tuple[Any, ...]:
        items = read_list(value, name)
        return tuple(from_json(kind, item, f"{name}[{i}]") for i, item in enumerate(items))

    return {"read": read, "write": lambda items: [to_json(item) for item in items]}


def attempts(*more: tuple[str, Callable[[Any], bool]]) -> Coding:
    """Code a tuple of attempts: (job id, attempt number), and ``more`` columns with their test."""
    shape = "[" + ", ".join(["job", "attempt", *(label for label, _ in more)]) + "]"
    tests = [is_int, is_int, *(test for _, test in more)]

    def read(value: Any, name: str) -> tuple[Any, ...]:
        rows = read_list(value, name)
        for row in rows:
            fits = isinstance(row, list) and len(row) == len(tests)
            if not fits or not all(test(item) for test, item in zip(tests, row, strict=True)):
                raise wrong(name, row, shape)
        return tuple(map(tuple, rows))

    return {"read": read, "write": list}


def read_list(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list) or len(value) > MAX_ITEMS:
        raise wrong(name, value, f"a list of at most {MAX_ITEMS}")
    return value


def is_int(value: Any) -> bool:
    """Whether ``value`` is a count or a number of something: no bool, not negative, not huge."""
    return type(value) is int and 0 <= value <= _MAX_INT


def is_number(value: Any) -> bool:
    """Whether ``value`` is a finite float, or an int that a float can hold exactly."""
    if type(value) is float:
        return math.isfinite(value)
    return type(value) is int and abs(value) <= _MAX_INT


# ------------------------------------------------------------------- tables by class


class _Table:
    """Readers, writers and defaults of the fields of a coded class."""

    def __init__(self, kind: type[Any]) -> None:
        coded = fields(kind)
        self.readers = {each.name: each.metadata["read"] for each in coded}
        self.writers = [
            (each.name, each.metadata["write"]) for each in coded if "write" in each.metadata
        ]
        self.optional = {
            each.name: _default_of(each) for each in coded if each.metadata.get("optional")
        }
        self.required = [name for name in self.readers if name not in self.optional]


_tables: dict[type[Any], _Table] = {}


def _table(kind: type[Any]) -> _Table:
    table = _tables.get(kind)
    if table is None:
        table = _tables[kind] = _Table(kind)
    return table


def _default_of(each: Field[Any]) -> Any:
    """Return the default value, which all objects share, so it must not be changed."""
    if each.default_factory is not MISSING:
        return each.default_factory()
    return each.default

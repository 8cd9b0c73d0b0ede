"""Reading untrusted fields: each function returns a value of one type or names the field."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from hpdist.core.model.errors import ProtocolMismatch

MAX_ITEMS = 4096
"""Entries of a list in a message."""

_MAX_INT = 2**53 - 1

Fields = Mapping[str, Any]


def wrong(name: str, value: Any, wanted: str, cause: str = "") -> ProtocolMismatch:
    return ProtocolMismatch(
        f"{name} in a message must be {wanted}, got {shown(value)}", cause=cause
    )


def shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def is_int(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _MAX_INT


def is_number(value: Any) -> bool:
    if type(value) is float:
        return math.isfinite(value)
    return type(value) is int and abs(value) <= _MAX_INT


def is_row(row: Any, length: int) -> bool:
    return isinstance(row, list) and len(row) == length and is_int(row[0]) and is_int(row[1])


def read_int(
    data: Fields,
    name: str,
    least: int = 0,
    most: int = _MAX_INT,
    *,
    default: int | None = None,
    where: str = "",
) -> int:
    value = data.get(name, default)
    if type(value) is not int or not least <= value <= most:
        raise wrong(_path(where, name), value, f"an integer from {least} to {most}")
    return value


def read_number(
    data: Fields,
    name: str,
    least: float,
    most: float = math.inf,
    *,
    default: float,
    where: str = "",
) -> float:
    value = data.get(name, default)
    if not is_number(value) or not least <= value <= most:
        raise wrong(_path(where, name), value, f"a finite number from {least:g} to {most:g}")
    return float(value)


def read_text(data: Fields, name: str, longest: int, *, where: str = "") -> str:
    value = data.get(name, "")
    if not isinstance(value, str) or len(value) > longest:
        raise wrong(_path(where, name), value, f"text of at most {longest} characters")
    return value


def read_match(data: Fields, name: str, pattern: re.Pattern[str]) -> str:
    value = data.get(name)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise wrong(name, value, f"text like {pattern.pattern}")
    return value


def read_object(data: Fields, name: str, *, where: str = "") -> dict[str, Any]:
    value = data.get(name)
    if not isinstance(value, dict):
        raise wrong(_path(where, name), value, "an object")
    return value


def read_list(data: Fields, name: str) -> list[Any]:
    value = data.get(name, [])
    if not isinstance(value, list) or len(value) > MAX_ITEMS:
        raise wrong(name, value, f"a list of at most {MAX_ITEMS}")
    return value


def _path(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name

"""Types of command-line parameters."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import click

from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.validation import check_path

_UNITS_S = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_UNITS_BYTES = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
MAX_S = 100 * 365.25 * 86400.0
MAX_SIZE = 2**63 - 1

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(min|[smhd]?)", re.IGNORECASE)
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?", re.IGNORECASE)


class Value(click.ParamType[Any]):
    """A type whose values ``read`` parses from text, raising ValueError with an example.

    Values that are parsed already, as defaults are, have to be a ``kind`` or a list of these.
    """

    def __init__(
        self, name: str, read: Callable[[str], Any], kind: type | tuple[type, ...]
    ) -> None:
        self.name, self._read, self._kind = name, read, kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            for each in value if isinstance(value, list | tuple) else [value]:
                if isinstance(each, bool) or not isinstance(each, self._kind):
                    self.fail(f"{value!r} is no {self.name}", param, ctx)
            return value
        try:
            return self._read(value)
        except ValueError as error:
            self.fail(f"{value!r}: {error}", param, ctx)


def _budget(text: str) -> tuple[float, float]:
    try:
        low, high = (float(part) for part in text.split(":"))
        if math.isfinite(low) and math.isfinite(high):
            return low, high
    except ValueError:
        pass
    raise ValueError("write MIN:MAX, such as 1:81")


def _seconds(text: str) -> float:
    parts = _DURATION.findall(text)
    if not parts or _DURATION.sub("", text).strip():
        raise ValueError("write seconds, or such as 90s, 30m, 2h, 1h30m")
    seconds = sum(float(number) * _UNITS_S[unit.lower()] for number, unit in parts)
    if seconds > MAX_S:
        raise ValueError("that is more than 100 years")
    return seconds


def _bytes(text: str) -> int:
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError("write bytes, or such as 500M, 4G")
    size = float(match[1]) * _UNITS_BYTES[match[2].lower()]
    if size > MAX_SIZE:
        raise ValueError("no machine has so much")
    return int(size)


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in _listed(text)]
    except ValueError:
        raise ValueError("write numbers with commas between, such as 3,5") from None


def _resource(text: str) -> tuple[str, float]:
    name, sign, amount = text.partition("=")
    if not (name and sign):
        raise ValueError("write such as GPU=1")
    return name, float(amount)


class Budget(Value):
    """Two numbers."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        read = super().convert(value, param, ctx)
        if not (isinstance(read, list | tuple) and len(read) == 2):
            self.fail(f"{value!r} is no {self.name}", param, ctx)
        return read


class RunPath(click.Path):
    """A path that may be a directory; it need not exist."""

    def __init__(self) -> None:
        super().__init__(file_okay=False)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            check_path("it", value)
        except ConfigurationError as error:
            self.fail(error.what, param, ctx)
        return super().convert(value, param, ctx)


_NUMBER = (int, float)

BUDGET = Budget("min:max", _budget, _NUMBER)
SECONDS = Value("seconds", _seconds, _NUMBER)
BYTES = Value("bytes", _bytes, int)
LIST = Value("a,b,...", _listed, str)
NUMBERS = Value("i,j,...", _numbers, int)
RESOURCE = Value("name=amount", _resource, (list, tuple))
RUN_PATH = RunPath()
PORT = click.IntRange(0, 65535)
COUNT = click.IntRange(min=1)

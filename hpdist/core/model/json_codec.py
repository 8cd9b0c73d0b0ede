"""Messages as text: the one form in which data crosses the network.

JSON with limits. `decode` accepts every message that `encode` accepts, and refuses all other text
with a message that names the reason.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from typing import Any, NoReturn

from hpdist.core.model.errors import ConfigurationError, ProtocolMismatch

MAX_TEXT = 2 * 1024 * 1024
"""Characters of one message."""

MAX_DEPTH = 64
MAX_VALUES = 100_000
MAX_DIGITS = 308
"""Digits of an integer: each still fits into a float."""


def encode(message: dict[str, Any]) -> str:
    """Turn a message into text.

    Raises
    ------
    ConfigurationError
        If it holds a value that is not JSON, a number that is not finite, or exceeds a limit.
    """
    try:
        text = _ENCODER.encode(message)
        if _LONG_INT.search(text):
            _DECODER.decode(text)  # raises unless the digits stand in a string
        fault = _fault(text, message)
    except (TypeError, ValueError, RecursionError) as error:
        fault = str(error)
    if fault:
        raise ConfigurationError("a message cannot be sent as JSON", cause=fault)
    return text


def decode(text: object) -> dict[str, Any]:
    """Turn text that came from a peer into a message.

    Raises
    ------
    ProtocolMismatch
        If it is no JSON object within the limits.
    """
    if not isinstance(text, str):
        raise ProtocolMismatch(f"a message must be text, got {type(text).__name__}")
    if len(text) > MAX_TEXT:
        raise ProtocolMismatch(f"a message of {len(text)} characters, more than {MAX_TEXT}")
    try:
        message = _DECODER.decode(text)
        fault = _fault(text, message)
    except (ValueError, RecursionError) as error:
        fault = str(error)[:200]
    if fault:
        raise ProtocolMismatch("a message is no acceptable JSON", cause=fault)
    if not isinstance(message, dict):
        raise ProtocolMismatch(f"a message must be an object, got {type(message).__name__}")
    return message


def _fault(text: str, message: Any) -> str:
    """Return which limit a message exceeds; empty if none."""
    if len(text) > MAX_TEXT:
        return f"it has {len(text)} characters, more than {MAX_TEXT}"
    if not text.isascii():
        text.encode()  # raises for a lone surrogate, as below
    if "\\ud" in text.lower():
        json.dumps(message, ensure_ascii=False).encode()  # a lone surrogate is a ValueError
    # Every value but the first of its container follows a comma, so the characters bound the
    # shape; hardly any message needs to be looked at more closely.
    openings = text.count("[") + text.count("{")
    if openings <= MAX_DEPTH and openings + text.count(",") < MAX_VALUES:
        return ""
    return _shape_fault(message)


def _shape_fault(message: Any) -> str:
    level: list[Any] = [message]
    count = 1
    for _ in range(MAX_DEPTH):
        inner = [item for value in level for item in _items(value)]
        count += len(inner)
        if count > MAX_VALUES:
            return f"it has more than {MAX_VALUES} values"
        level = [item for item in inner if isinstance(item, dict | list | tuple)]
        if not level:
            return ""
    return f"it is nested more than {MAX_DEPTH} deep"


def _items(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value


def _float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"the number {digits[:40]} is not finite")
    return value


def _int(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"an integer of {len(digits)} digits, more than {MAX_DIGITS}")
    return int(digits)


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


_LONG_INT = re.compile(rf"\d{{{MAX_DIGITS + 1}}}")
_ENCODER = json.JSONEncoder(allow_nan=False, separators=(",", ":"))
_DECODER = json.JSONDecoder(parse_float=_float, parse_int=_int, parse_constant=_constant)

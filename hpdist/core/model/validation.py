"""Checks of arguments: each returns the plain value, or raises an error that names the fault.

A value is checked once, where it is made or comes in, and is plain Python from there on: a numpy
scalar is the number that it stands for, a bool is no number, and "5" is none either. The message
has the name of the argument, a short form of the value, and the accepted values.
"""

from __future__ import annotations

import math
import os
import reprlib
from collections.abc import Callable, Iterable, Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any, TypeVar

from hpdist.core.model.errors import ConfigurationError

T = TypeVar("T")

LONGEST_SHOWN = 200
LARGEST_WHOLE = 2**63 - 1
"""What JSON, files and other programs take for a whole number."""

LONGEST_NAME = 200
LONGEST_PART, LONGEST_PATH = 255, 4096
"""Bytes of a file's name and of a path, by Linux."""

LONGEST_S = 1e9
"""Thirty years: beyond it clocks and time-outs of the operating system overflow."""

_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = 160
_REPR.maxlist = _REPR.maxtuple = _REPR.maxdict = _REPR.maxset = 8


def short_repr(value: object) -> str:
    """Return a short ``repr(value)`` on one line, for any value."""
    if isinstance(value, int) and value.bit_length() > 256:
        return f"a whole number of {value.bit_length()} bits"
    try:
        text = " ".join(_REPR.repr(value).split()) if value else repr(value)
    except Exception:  # noqa: BLE001 - a foreign __repr__ or __bool__
        text = f"a {type(value).__name__} that cannot be shown"
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 3] + "..."


def to_real(value: object) -> float | None:
    """Return a number as a float, None if it is none; beyond the range of float it is infinite."""
    if type(value) is float:
        return value
    if not isinstance(value, Real) or isinstance(value, bool):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf  # type: ignore[operator]


def check_number(
    name: str,
    value: object,
    *,
    minimum: float = -math.inf,
    above: float = -math.inf,
    infinite: bool = False,
    accepted: str = "",
    do: str = "",
) -> float:
    """Return ``value`` as a float, at least ``minimum`` and larger than ``above``.

    An infinite value is accepted only with ``infinite``.
    """
    number = value if type(value) is float else to_real(value)
    if number is not None and number >= minimum and (number > above or above == -math.inf):  # noqa: SIM102
        if math.isfinite(number) or infinite:
            return number
    bound = (
        f" > {above:g}" if above > -math.inf else f" >= {minimum:g}" if minimum > -math.inf else ""
    )
    accepted = accepted or ("a number" if infinite else "a finite number") + bound
    raise ConfigurationError(f"{name} must be {accepted}, got {short_repr(value)}", do=do)


def check_seconds(
    name: str, value: object, *, zero: bool = False, infinite: bool = False, do: str = ""
) -> float:
    """Return ``value`` as a duration that a clock can wait for, with ``zero`` 0 as well."""
    number = to_real(value)
    if number is not None and (0 < number <= LONGEST_S or (zero and number == 0)):
        return number
    if infinite and number == math.inf and not isinstance(value, Integral):
        return number
    bound = ">= 0" if zero else "> 0"
    maximum = f" and <= {LONGEST_S:.0e}" if number is not None and number > LONGEST_S else ""
    raise ConfigurationError(
        f"{name} must be {bound}{maximum} seconds, got {short_repr(value)}", do=do
    )


def check_whole(
    name: str,
    value: object,
    *,
    minimum: int = -LARGEST_WHOLE,
    maximum: int = LARGEST_WHOLE,
    accepted: str = "",
    do: str = "",
) -> int:
    """Return ``value`` as an int from ``minimum`` to ``maximum``; 3.0 is the int 3."""
    whole = value if type(value) is int else _to_whole(value)
    if whole is not None and minimum <= whole <= maximum:
        return whole
    bound = f" >= {minimum}" if minimum > -LARGEST_WHOLE else ""
    if whole is not None and whole > maximum:
        bound += f"{' and' * bool(bound)} <= {maximum}"
    raise ConfigurationError(
        f"{name} must be {accepted or 'a whole number' + bound}, got {short_repr(value)}", do=do
    )


def check_counts(owner: object, *names: str) -> None:
    """Check that these attributes of ``owner`` are whole numbers from 0 on."""
    for name in names:
        value = getattr(owner, name)
        if type(value) is not int or not 0 <= value <= LARGEST_WHOLE:
            check_whole(name, value, minimum=0)


def check_seed(value: object) -> int:
    """Return ``value`` as the seed of random choices."""
    return check_whole("seed", value, minimum=0, maximum=2**128 - 1, do="seed=0")


def check_flag(name: str, value: object) -> bool:
    """Return ``value`` if it is True or False."""
    if isinstance(value, bool):
        return value
    if type(value).__module__ == "numpy" and str(getattr(value, "dtype", "")) == "bool":
        return bool(value)
    raise ConfigurationError(f"{name} must be True or False, got {short_repr(value)}")


def check_choice(name: str, value: object, allowed: Iterable[str], do: str = "") -> str:
    """Return ``value`` if it is one of the words ``allowed``."""
    words = list(allowed)
    if isinstance(value, str) and value in words:
        return str(value)
    raise ConfigurationError(
        f"{name} must be one of {', '.join(words)}, got {short_repr(value)}", do=do
    )


def check_kind(name: str, value: object, kind: type[T], do: str = "") -> T:
    """Return ``value`` if it is a ``kind``."""
    if isinstance(value, kind):
        return value
    article = "an" if kind.__name__[0] in "AEIO" else "a"
    raise ConfigurationError(
        f"{name} must be {article} {kind.__name__}, got {short_repr(value)}", do=do
    )


def check_callable(name: str, value: Any, takes: str) -> Any:
    """Return ``value`` if it can be called; ``takes`` names its arguments in the message."""
    if callable(value) and not isinstance(value, type):
        return value
    raise ConfigurationError(f"{name} must be a function {takes}, got {short_repr(value)}")


def check_list(name: str, values: object, of: str = "") -> list[Any]:
    """Return ``values`` as a list; text and mappings are refused as mistakes."""
    if isinstance(values, Iterable) and not isinstance(values, str | bytes | Mapping):
        try:
            return list(values)
        except TypeError:  # an array without a dimension
            pass
    raise ConfigurationError(
        f"{name} must be a list{' of ' * bool(of)}{of}, got {short_repr(values)}",
        do=f"{name}=[...]",
    )


def check_path(name: str, value: object) -> Path:
    """Return ``value`` as a path that a file could have."""
    text = os.fspath(value) if isinstance(value, os.PathLike) else value
    if isinstance(text, str) and text and "\0" not in text and _can_be_named(text):
        return Path(text)
    raise ConfigurationError(
        f"{name} must be a path, whose parts have no more than {LONGEST_PART} bytes; got "
        f"{short_repr(value)}"
    )


def check_name(name: str, value: object, longest: int = LONGEST_NAME) -> str:
    """Return ``value`` if it is printable text on one line, of 1 to ``longest`` characters."""
    fits = isinstance(value, str) and 0 < len(value) <= longest
    if fits and value.isprintable() and value.strip() == value:  # type: ignore[attr-defined]
        return str(value)
    raise ConfigurationError(
        f"{name} must be text of 1 to {longest} printable characters, got {short_repr(value)}",
        cause="it appears in tables and files, and has to be unambiguous there",
    )


def maybe(check: Callable[..., T], name: str, value: object, **options: Any) -> T | None:
    """Return None for None, and anything else as ``check`` returns it."""
    return None if value is None else check(name, value, **options)


def _to_whole(value: object) -> int | None:
    if isinstance(value, Integral) and not isinstance(value, bool):
        return int(value)
    number = to_real(value)
    return int(number) if number is not None and number.is_integer() else None


def _can_be_named(path: str) -> bool:
    """Return True for a valid file name: not too long, and without lone surrogates."""
    try:
        parts = [os.fsencode(part) for part in Path(path).parts]
    except UnicodeEncodeError:
        return False
    return all(len(part) <= LONGEST_PART for part in parts) and len(path) < LONGEST_PATH

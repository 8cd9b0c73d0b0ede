"""Declaration of an option, once, as a field of a frozen dataclass, with all that doors need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import Field, dataclass, field, fields
from functools import partial
from typing import Any

from hpdist.core.model.validation import (
    check_choice,
    check_flag,
    check_name,
    check_number,
    check_seconds,
    check_whole,
    maybe,
)

Check = Callable[[str, Any], Any]
"""Returns a value as it is kept, or raises `ConfigurationError` with its name."""


def unchecked(name: str, value: Any) -> Any:
    """Return the value unchecked: the object that is made of it checks it."""
    return value


@dataclass(frozen=True)
class Kind:
    """A kind of value: the unit or form in which it is given, and its check."""

    unit: str
    check: Check = unchecked


OBJECT = Kind("")
TEXT = Kind("text", check_name)
FLAG = Kind("flag", check_flag)
NUMBER = Kind("number", check_number)
SEED = Kind("whole number")  # where random numbers are drawn its range is checked
SECONDS = Kind("seconds", check_seconds)
SECONDS_OR_ZERO = Kind("seconds", partial(check_seconds, zero=True))
BYTES = Kind("bytes", partial(check_whole, minimum=1, accepted="a number of bytes > 0"))
COUNT = Kind("count", partial(check_whole, minimum=1))
COUNT_OR_ZERO = Kind("count or 0", partial(check_whole, minimum=0))
LIMIT = Kind("limit", partial(check_whole, minimum=0))
COST = Kind("cost", partial(check_number, minimum=0))


def choice(*words: str) -> Kind:
    """Return the kind of value that is one of these words."""
    return Kind("|".join(words), partial(check_choice, allowed=words))


@dataclass(frozen=True)
class Option:
    """Kind, help and other names of an option.

    ``flag`` and ``master`` are its names on the command line and as an argument of `Master`,
    where they differ from the field's.
    """

    kind: Kind
    help: str
    flag: str = ""
    master: str = ""


def option(default: Any, kind: Kind, help: str, *, flag: str = "", master: str = "") -> Any:
    """Return a dataclass field that declares an option; None is valid if it is the default."""
    return field(default=default, metadata={"option": Option(kind, help, flag, master)})


def option_of(declared: Field[Any]) -> Option:
    """Return the option that a field declares."""
    found: Option = declared.metadata["option"]
    return found


def flag_of(declared: Field[Any]) -> str:
    """Return the option's name on the command line, such as ``--job-timeout``."""
    return option_of(declared).flag or "--" + declared.name.replace("_", "-")


def check_options(owner: Any, prefix: str = "") -> None:
    """Check all options of a frozen dataclass, and keep the values as their checks return them."""
    for each in fields(owner):
        check, name = option_of(each).kind.check, prefix + each.name
        value = getattr(owner, each.name)
        checked = maybe(check, name, value) if each.default is None else check(name, value)
        object.__setattr__(owner, each.name, checked)

"""Hyperparameters as plain values: ranges and choices, and their map to the unit interval.

Each has a ``default`` and four methods. ``at(u)`` is the value at ``u`` in [0, 1], so that a
uniform ``u`` gives the parameter's own distribution. ``position(value)`` is the value's position
in [0, 1] on the parameter's own scale, or for a category its index. ``accept(value)`` is ``value``
as a plain Python value, or raises ValueError if it is out of range. ``str`` describes the range.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Protocol

import numpy as np

from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.validation import LARGEST_WHOLE, check_flag, check_list, short_repr, to_real
from hpdist.core.model.values import JsonValue

LARGEST_INT = 2**53
"""Beyond it, neighbouring whole numbers have the same floating-point value."""

MAX_CHOICES = 10_000
"""A limit that keeps models and records of a space small; chosen, not measured."""


class Parameter(Protocol):
    """The interface of all kinds of hyperparameters."""

    @property
    def default(self) -> JsonValue: ...

    def at(self, u: float) -> JsonValue: ...

    def position(self, value: JsonValue) -> float: ...

    def accept(self, value: object) -> JsonValue: ...


@dataclass(frozen=True)
class Float:
    """A number from ``low`` to ``high``, evenly spread on a linear or logarithmic scale.

    ``default`` is the middle of the scale unless it is given.
    """

    low: float
    high: float
    log: bool = False
    default: float | None = None

    def __post_init__(self) -> None:
        _normalise_range(self, float)

    def at(self, u: float) -> float:
        return min(max(_between(self.low, self.high, self.log, u), self.low), self.high)

    def position(self, value: JsonValue) -> float:
        return _fraction(self.low, self.high, self.log, value)

    def accept(self, value: object) -> float:
        number = plain(value)
        if not _is_number(number) or not self.low <= number <= self.high:
            raise ValueError
        return float(number)

    def __str__(self) -> str:
        return f"a number from {self.low:g} to {self.high:g}" + ", log" * self.log


@dataclass(frozen=True)
class Int:
    """A whole number from ``low`` to ``high``, both included; otherwise like `Float`."""

    low: int
    high: int
    log: bool = False
    default: int | None = None

    def __post_init__(self) -> None:
        _normalise_range(self, int)

    def at(self, u: float) -> int:
        value = round(_between(self.low - 0.5, self.high + 0.5, self.log, u))
        return min(max(value, self.low), self.high)

    def position(self, value: JsonValue) -> float:
        return _fraction(self.low - 0.5, self.high + 0.5, self.log, value)

    def accept(self, value: object) -> int:
        number = plain(value)
        if not _is_number(number) or not self.low <= number <= self.high or number != int(number):
            raise ValueError
        return int(number)

    def __str__(self) -> str:
        return f"a whole number from {self.low} to {self.high}" + ", log" * self.log


@dataclass(frozen=True)
class Categorical:
    """One of ``choices``, which have no order.

    ``weights`` are relative frequencies in random search. Unless it is given, ``default`` is
    None if that is a choice, else the choice with the largest weight, or the first one.
    """

    choices: Sequence[JsonValue]
    weights: Sequence[float] | None = None
    default: JsonValue = None

    def __post_init__(self) -> None:
        choices = _checked_choices(self, self.choices)
        object.__setattr__(self, "choices", choices)
        if self.weights is not None:
            object.__setattr__(self, "weights", _checked_weights(self.weights, choices))
        if self.default is None and None not in choices:
            weights = self.weights or (1.0,) * len(choices)
            object.__setattr__(self, "default", choices[weights.index(max(weights))])
        _normalise_default(self)

    def at(self, u: float) -> JsonValue:
        if self.weights is None:
            return self.choices[min(int(u * len(self.choices)), len(self.choices) - 1)]
        drawable = [i for i, weight in enumerate(self.weights) if weight > 0]
        bounds = list(accumulate(self.weights[i] for i in drawable))
        index = bisect_right(bounds, u * bounds[-1])
        return self.choices[drawable[min(index, len(drawable) - 1)]]

    def position(self, value: JsonValue) -> float:
        return float(self.choices.index(self.accept(value)))

    def accept(self, value: object) -> JsonValue:
        return _one_of(self.choices, value)

    def __str__(self) -> str:
        return "one of " + ", ".join(map(repr, self.choices))


@dataclass(frozen=True)
class Ordinal:
    """One of ``values``, which are in order; the first is the default unless another is given."""

    values: Sequence[JsonValue]
    default: JsonValue = None

    def __post_init__(self) -> None:
        values = _checked_choices(self, self.values)
        object.__setattr__(self, "values", values)
        if self.default is None and None not in values:
            object.__setattr__(self, "default", values[0])
        _normalise_default(self)

    def at(self, u: float) -> JsonValue:
        return self.values[min(int(u * len(self.values)), len(self.values) - 1)]

    def position(self, value: JsonValue) -> float:
        return (self.values.index(self.accept(value)) + 0.5) / len(self.values)

    def accept(self, value: object) -> JsonValue:
        return _one_of(self.values, value)

    def __str__(self) -> str:
        return "one of, in order, " + ", ".join(map(repr, self.values))


@dataclass(frozen=True)
class Constant:
    """Always ``value``; treated as a category with one choice."""

    value: JsonValue

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", _checked_choices(self, [self.value])[0])

    @property
    def default(self) -> JsonValue:
        return self.value

    def at(self, u: float) -> JsonValue:
        return self.value

    def position(self, value: JsonValue) -> float:
        self.accept(value)
        return 0.0

    def accept(self, value: object) -> JsonValue:
        return _one_of([self.value], value)

    def __str__(self) -> str:
        return f"always {self.value!r}"


@dataclass(frozen=True)
class Skewed:
    """A number with a distribution that is not uniform on the scale of ``base``."""

    base: Float | Int
    quantile: Callable[[float], float] = field(repr=False)

    @property
    def default(self) -> JsonValue:
        return self.base.default

    def at(self, u: float) -> JsonValue:
        return self.base.at(float(self.quantile(u)))

    def position(self, value: JsonValue) -> float:
        return self.base.position(value)

    def accept(self, value: object) -> JsonValue:
        return self.base.accept(value)

    def __str__(self) -> str:
        return str(self.base)


def plain(value: object) -> JsonValue:
    """Return a numpy scalar as a Python value, anything else as it is."""
    return value.item() if isinstance(value, np.generic) else value


def _between(low: float, high: float, log: bool, u: float) -> float:
    if log:
        return math.exp(math.log(low) + u * (math.log(high) - math.log(low)))
    return low + u * (high - low)


def _fraction(low: float, high: float, log: bool, value: float) -> float:
    if log:
        return (math.log(value) - math.log(low)) / (math.log(high) - math.log(low))
    return (value - low) / (high - low)


def _is_number(value: object) -> bool:
    number = to_real(value)
    return number is not None and math.isfinite(number)


def _normalise_range(parameter: Float | Int, kind: type[float] | type[int]) -> None:
    """Check a range and set its default, by `object.__setattr__` since the classes are frozen."""
    name = type(parameter).__name__
    log = check_flag(f"log of {name}", parameter.log)
    low, high = plain(parameter.low), plain(parameter.high)
    what = f"{name}({short_repr(low)}, {short_repr(high)}" + ", log=True" * log + ")"
    if not (_is_number(low) and _is_number(high) and math.isfinite(float(high) - float(low))):
        raise ConfigurationError(f"{what}: both bounds must be finite numbers")
    if kind is int and not (low == int(low) and high == int(high)):
        raise ConfigurationError(f"{what}: both bounds must be whole numbers", do="use Float")
    if kind is int and max(-low, high) > LARGEST_INT:
        raise ConfigurationError(f"{what}: bounds beyond 2**53 are not supported", do="use Float")
    if low >= high:
        raise ConfigurationError(
            f"{what}: the lower bound must be less than the upper one",
            do="swap the two, or use Constant for a single value",
        )
    if log and low <= 0:
        raise ConfigurationError(
            f"{what}: a logarithmic scale needs a lower bound > 0",
            do="choose a small positive lower bound, or log=False",
        )
    object.__setattr__(parameter, "log", log)
    object.__setattr__(parameter, "low", kind(low))
    object.__setattr__(parameter, "high", kind(high))
    if parameter.default is None:
        object.__setattr__(parameter, "default", parameter.at(0.5))
    _normalise_default(parameter)


def _normalise_default(parameter: Parameter) -> None:
    try:
        object.__setattr__(parameter, "default", parameter.accept(parameter.default))
    except ValueError:
        raise ConfigurationError(
            f"the default {short_repr(parameter.default)} is not {parameter}",
        ) from None


def _checked_choices(owner: object, values: object) -> tuple[JsonValue, ...]:
    what = f"{type(owner).__name__} {short_repr(values)}"
    several = isinstance(values, Sequence | np.ndarray) and not isinstance(values, str | bytes)
    if not several or getattr(values, "ndim", 1) == 0 or not len(values):  # type: ignore[arg-type]
        raise ConfigurationError(f"{what}: give a list of at least one value")
    choices = tuple(plain(value) for value in values)  # type: ignore[attr-defined]
    if len(choices) > MAX_CHOICES:
        raise ConfigurationError(
            f"{what}: {len(choices)} choices are more than {MAX_CHOICES}",
            do="use Int, and map its values to choices in the objective",
        )
    for choice in choices:
        if not _can_be_recorded(choice):
            raise ConfigurationError(
                f"{what}: {short_repr(choice)} cannot be recorded as it is",
                cause="values must be None, bool, finite numbers (ints of 64 bits) or strings",
                do="use strings, and map them to values in the objective",
            )
    if len(set(choices)) < len(choices):
        raise ConfigurationError(f"{what}: a value occurs twice", cause="1, 1.0 and True are equal")
    return choices


def _can_be_recorded(choice: object) -> bool:
    if isinstance(choice, str):
        return choice.isascii() or not any("\ud800" <= char <= "\udfff" for char in choice)
    if isinstance(choice, int):
        return abs(choice) <= LARGEST_WHOLE
    return choice is None or (isinstance(choice, float) and math.isfinite(choice))


def _checked_weights(weights: Sequence[float], choices: tuple[JsonValue, ...]) -> tuple[float, ...]:
    what = f"{len(choices)} numbers >= 0, not all 0"
    numbers = [to_real(weight) for weight in check_list("weights", weights, of=what)]
    valid = [number for number in numbers if number is not None and number >= 0]
    if not len(choices) == len(numbers) == len(valid) or not 0 < sum(valid) < math.inf:
        raise ConfigurationError(f"weights={short_repr(weights)} must be {what}")
    return tuple(valid)


def _one_of(choices: Sequence[JsonValue], value: object) -> JsonValue:
    value = plain(value)
    if value is None or isinstance(value, bool | int | float | str):
        for choice in choices:
            if choice == value and isinstance(choice, bool) == isinstance(value, bool):
                return choice
    raise ValueError

"""A space that is built one hyperparameter at a time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.validation import check_name, short_repr, to_real
from hpdist.core.model.values import JsonValue
from hpdist.core.space.parameters import Categorical, Constant, Float, Int, Ordinal, Parameter
from hpdist.core.space.space import Space

SCALES = ("uniform", "log-uniform")


class HpProblem:
    """A search space.

    Examples
    --------
    >>> problem = HpProblem()
    >>> problem.add_hyperparameter((1e-5, 0.1, "log-uniform"), "lr")
    >>> problem.add_hyperparameter(["adam", "sgd"], "opt")
    """

    def __init__(self) -> None:
        self._written: dict[str, Any] = {}

    def add_hyperparameter(self, value: Any, name: str, default_value: Any = None) -> None:
        """Add a hyperparameter.

        Parameters
        ----------
        value
            ``(low, high)`` or ``(low, high, "log-uniform")``, whole numbers if both bounds are;
            a list of choices, in order if they are rising numbers; a single value; or a
            hyperparameter of `hpdist` or ConfigSpace.
        default_value
            By default the middle of the scale, or the first choice.

        Raises
        ------
        ConfigurationError
            If the value is not valid, or the name is taken.
        """
        name = check_name("the name of a hyperparameter", name)
        if name in self._written:
            raise ConfigurationError(f"there is a hyperparameter {name!r} already")
        written = _read(name, value, default_value)
        Space.of({name: written})  # raises if the value is invalid
        self._written[name] = written

    def add_hyperparameters(self, values: dict[str, Any]) -> None:
        """Add several, by name."""
        for name, value in values.items():
            self.add_hyperparameter(value, name)

    @property
    def hyperparameter_names(self) -> list[str]:
        """Names of the hyperparameters."""
        return list(self._written)

    @property
    def default_configuration(self) -> dict[str, JsonValue]:
        """Default values by name."""
        return self.space.default()

    @property
    def space(self) -> Space:
        """The space.

        Raises
        ------
        ConfigurationError
            If it is empty.
        """
        return Space.of(self._written)

    def __len__(self) -> int:
        return len(self._written)

    def __repr__(self) -> str:
        lines = ["Configuration space object:", "  Hyperparameters:"]
        if self._written:
            parameters = self.space.parameters  # in another order
            lines += [_line(name, parameters[name]) for name in self._written]
        return "\n".join(lines)


def _read(name: str, value: Any, default: Any) -> Any:
    if isinstance(value, tuple):
        return _range(name, value, default)
    if isinstance(value, list):
        return _choices(value, default)
    if default is not None:
        raise ConfigurationError(
            f"{name}: default_value={short_repr(default)} beside {short_repr(value)}",
            do="give the default to the hyperparameter itself",
        )
    return value


def _range(name: str, value: tuple[Any, ...], default: Any) -> Float | Int:
    scale = value[2] if len(value) == 3 else "uniform"
    if len(value) not in (2, 3) or scale not in SCALES:
        raise ConfigurationError(
            f"{name}: {short_repr(value)} is no range",
            do='(1e-5, 0.1) or (1e-5, 0.1, "log-uniform")',
        )
    low, high, log = *value[:2], scale == "log-uniform"
    if type(low) is int and type(high) is int:
        return Int(low, high, log, default)
    return Float(low, high, log, default)


def _choices(values: Sequence[Any], default: Any) -> Categorical | Ordinal:
    numbers = [to_real(value) for value in values]
    known = [number for number in numbers if number is not None]
    if len(known) == len(numbers) > 1 and all(a < b for a, b in pairwise(known)):
        return Ordinal(values, default)
    return Categorical(values, default=default)


def _line(name: str, parameter: Parameter) -> str:
    parts = [f"    {name}", f"Type: {type(parameter).__name__}"]
    if isinstance(parameter, Float | Int):
        parts[1] = f"Type: Uniform{'Float' if isinstance(parameter, Float) else 'Integer'}"
        parts.append(f"Range: [{parameter.low}, {parameter.high}]")
    elif isinstance(parameter, Categorical):
        parts.append(f"Choices: {{{', '.join(map(str, parameter.choices))}}}")
    elif isinstance(parameter, Ordinal):
        parts.append(f"Sequence: {{{', '.join(map(str, parameter.values))}}}")
    elif not isinstance(parameter, Constant):
        parts.append(f"Range: {parameter}")
    parts.append(f"Default: {parameter.default}")
    if getattr(parameter, "log", False):
        parts.append("on log-scale")
    return ", ".join(parts)

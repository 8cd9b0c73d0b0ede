"""The search space: sampling, encoding and checking of configurations.

The hyperparameters, conditions and forbidden clauses are those of ConfigSpace. Importing it takes
seconds, so it is imported when the first space is made.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.validation import check_kind, check_list, short_repr
from hpdist.core.model.values import Configuration, JsonValue
from hpdist.core.space.parameters import (
    Categorical,
    Constant,
    Float,
    Int,
    Ordinal,
    Parameter,
    Skewed,
    plain,
)

if TYPE_CHECKING:
    import ConfigSpace

__all__ = ["Categorical", "Constant", "Float", "Int", "Ordinal", "Space"]

MAX_TRIES = 10_000
"""Draws before the forbidden clauses of a space are taken to forbid everything."""


class Space:
    """A set of configurations. Made by `Space.of`, and never changed.

    Attributes
    ----------
    parameters
        The hyperparameters by name, parents before the children that depend on them.
    """

    def __init__(self, space: ConfigSpace.ConfigurationSpace) -> None:
        from hpdist.core.space import configspace

        self.parameters: dict[str, Parameter] = configspace.parameters(space)
        self._space = copy.deepcopy(space)
        self._is_flat = not (self._space.conditions or self._space.forbidden_clauses)
        if not self._is_flat:
            self.sample(np.random.default_rng(0))  # raises if everything is forbidden

    @classmethod
    def of(cls, space: Space | ConfigSpace.ConfigurationSpace | Mapping[str, Any]) -> Space:
        """Return the space of a definition in any of the forms below.

        Parameters
        ----------
        space
            A space, a ConfigurationSpace, or a dict from names to `Float`, `Int`, `Categorical`,
            `Ordinal`, `Constant`, hyperparameters of ConfigSpace, ``(low, high)``, a list of
            choices, or a single value.

        Raises
        ------
        ConfigurationError
            If it is empty, or a name or value in it is not understood, or everything is forbidden.

        Examples
        --------
        >>> Space.of({"lr": Float(1e-5, 0.1, log=True), "units": (16, 512)}).names
        ('lr', 'units')
        """
        from hpdist.core.space import configspace

        return space if isinstance(space, Space) else cls(configspace.configuration_space(space))

    @classmethod
    def from_json(cls, data: JsonValue) -> Space:
        """Return the space that `to_json` described."""
        from hpdist.core.space import configspace

        return cls(configspace.described_space(data))

    def to_json(self) -> dict[str, JsonValue]:
        """Return a description in ConfigSpace's own format, equal for equal spaces."""
        data = self._space.to_serialized_dict()
        del data["python_module_version"]
        described: dict[str, JsonValue] = json.loads(json.dumps(data, default=plain))
        return described

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all hyperparameters, in the order of the columns of `encode`."""
        return tuple(self.parameters)

    @property
    def num_choices(self) -> tuple[int, ...]:
        """The number of categories of each of `names`, 0 for a number or an ordered value."""
        return tuple(_num_choices(parameter) for parameter in self.parameters.values())

    def sample(self, rng: np.random.Generator) -> dict[str, JsonValue]:
        """Return a random configuration.

        Raises
        ------
        ConfigurationError
            If all that were drawn are forbidden.
        """
        check_kind("rng", rng, np.random.Generator, do="numpy.random.default_rng(seed)")
        for _ in range(MAX_TRIES):
            config = self.from_unit(rng.random(len(self.parameters)))
            if config is not None:
                return config
        raise ConfigurationError(
            f"{MAX_TRIES} random configurations were all forbidden",
            cause="the forbidden clauses of the space leave (almost) nothing",
            do="loosen them, or express them by conditions or narrower ranges",
        )

    def from_unit(self, point: NDArray[np.float64]) -> dict[str, JsonValue] | None:
        """Return the configuration of a point of the unit cube, shape ``(d,)``.

        Uniform points give the distribution of `sample`. The result is None if the
        configuration is forbidden; coordinates of inactive parameters have no effect.
        """
        config = {
            name: parameter.at(u)
            for (name, parameter), u in zip(self.parameters.items(), point.tolist(), strict=True)
        }
        if self._is_flat:
            return config
        vector = self._vector(config)
        return None if self._forbidding(vector) else _only_active(config, vector)

    def encode(self, configs: Sequence[Configuration]) -> NDArray[np.float64]:
        """Return configurations as rows of numbers.

        Returns
        -------
        points
            Shape ``(n, d)``, columns in the order of `names`. Numbers and ordered values lie in
            [0, 1] on the parameter's own scale (log if declared so), categories are indices
            0 .. c-1, inactive parameters are NaN.

        Raises
        ------
        ConfigurationError
            If a configuration names an unknown parameter or an unknown category.
        """
        configs = check_list("configs", configs, of="configurations")
        points = np.full((len(configs), len(self.parameters)), math.nan)
        for row, config in zip(points, configs, strict=True):
            self._check_names(config)
            for column, (name, parameter) in enumerate(self.parameters.items()):
                if name in config:
                    row[column] = _converted(name, parameter, config[name], parameter.position)
        return points

    def deactivate(
        self, points: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Apply conditions and forbidden clauses to encoded rows without NaN, shape ``(n, d)``.

        Returns
        -------
        points
            With NaN for inactive parameters.
        allowed
            False for forbidden points, shape ``(n,)``.
        """
        allowed = np.ones(len(points), dtype=bool)
        if self._is_flat:
            return points, allowed
        points = points.copy()
        # ConfigSpace takes one row a parameter, in its own encoding.
        vectors = np.full(points.shape[::-1], math.nan)
        for index, (name, hyperparameter) in enumerate(self._space.items()):
            active = np.ones(len(points), dtype=bool)
            for rule in self._space.parent_conditions_of[name]:
                active &= rule.satisfied_by_vector_array(vectors)
            points[~active, index] = math.nan
            column = to_vector(self.parameters[name], hyperparameter, points[active, index])
            vectors[index, active] = column
        for clause in self._space.forbidden_clauses:
            allowed &= ~clause.is_forbidden_vector_array(vectors)
        return points, allowed

    def default(self) -> dict[str, JsonValue]:
        """Return the configuration of the default of each active parameter."""
        config = {name: parameter.default for name, parameter in self.parameters.items()}
        return config if self._is_flat else _only_active(config, self._vector(config))

    def active(self, config: Configuration) -> tuple[str, ...]:
        """Return the names of the parameters that are active, given values for all of them.

        Raises
        ------
        ConfigurationError
            If a value is not in the range of its parameter.
        """
        values = {
            name: _converted(name, parameter, config[name], parameter.accept)
            for name, parameter in self.parameters.items()
        }
        if self._is_flat:
            return self.names
        found = _only_active(values, self._vector(values))
        return tuple(name for name in self.names if name in found)

    def check(self, config: Configuration) -> dict[str, JsonValue]:
        """Return ``config`` with plain Python values, in the order of `names`.

        Raises
        ------
        ConfigurationError
            If a parameter is unknown, missing, inactive or out of range, or if the
            configuration is forbidden; the message names the parameter and its range.
        """
        self._check_names(config)
        checked = {
            name: _converted(name, parameter, config[name], parameter.accept)
            for name, parameter in self.parameters.items()
            if name in config
        }
        if self._is_flat and len(checked) == len(self.parameters):
            return checked
        vector = self._vector(checked)
        active = self._space.get_active_hyperparameters(vector)
        for name, parameter in self.parameters.items():
            if name in active and name not in checked:
                raise ConfigurationError(f"{name} is missing: it must be {parameter}")
            if name in checked and name not in active:
                raise ConfigurationError(
                    f"{name}={checked[name]!r} is given, but {name} is inactive",
                    cause="; ".join(map(str, self._space.parent_conditions_of[name])),
                    do=f"leave {name} out",
                )
        if clause := self._forbidding(vector):
            raise ConfigurationError(f"{checked} is forbidden", cause=clause)
        return checked

    def difference(self, recorded: JsonValue) -> str:
        """Return the lines in which this space and a recorded `to_json` differ, "" if none."""
        before, now = _lines(recorded), _lines(self.to_json())
        removed = [f"was: {line}" for line in before if line not in now]
        return "\n".join(removed + [f"is:  {line}" for line in now if line not in before])

    def _check_names(self, config: Configuration) -> None:
        if not isinstance(config, Mapping):
            raise ConfigurationError(
                f"a configuration must be a dict, got {short_repr(config)}",
                do=f"write {{{', '.join(f'{name!r}: ...' for name in self.parameters)}}}",
            )
        unknown = [name for name in config if name not in self.parameters]
        if unknown:
            raise ConfigurationError(
                f"{', '.join(map(short_repr, unknown))} is no parameter of this space",
                do="choose among " + ", ".join(self.parameters),
            )

    def _vector(self, config: Configuration) -> NDArray[np.float64]:
        """Return ConfigSpace's encoding, NaN for inactive parameters."""
        vector = np.full(len(self.parameters), math.nan)
        for index, (name, hyperparameter) in enumerate(self._space.items()):
            conditions = self._space.parent_conditions_of[name]
            if name in config and all(rule.satisfied_by_vector(vector) for rule in conditions):
                vector[index] = hyperparameter.to_vector(config[name])
        return vector

    def _forbidding(self, vector: NDArray[np.float64]) -> str:
        """Return the clause that forbids the configuration, "" if none does."""
        clauses = self._space.forbidden_clauses
        return next((str(rule) for rule in clauses if rule.is_forbidden_vector(vector)), "")


def _only_active(config: dict[str, JsonValue], vector: NDArray[np.float64]) -> dict[str, JsonValue]:
    """Return the configuration without the parameters that are NaN in ``vector``."""
    missing = np.isnan(vector).tolist()
    return {
        name: value
        for (name, value), inactive in zip(config.items(), missing, strict=True)
        if not inactive
    }


def _num_choices(parameter: Parameter) -> int:
    if isinstance(parameter, Categorical):
        return len(parameter.choices)
    return 1 if isinstance(parameter, Constant) else 0


def to_vector(
    parameter: Parameter, hyperparameter: Any, column: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return a column of `Space.encode` in ConfigSpace's encoding."""
    if _num_choices(parameter):
        return column
    base = parameter.base if isinstance(parameter, Skewed) else parameter
    if isinstance(base, Ordinal):
        return np.floor(column * len(base.values))
    values = np.array([base.at(u) for u in column.tolist()])
    vector: NDArray[np.float64] = hyperparameter.to_vector(values)
    return vector


def _converted(name: str, parameter: Parameter, value: JsonValue, convert: Any) -> Any:
    """Return ``convert(value)``; its ValueError becomes an error that names the parameter."""
    try:
        return convert(value)
    except ValueError:
        raise ConfigurationError(
            f"{name}={short_repr(value)}: {name} must be {parameter}"
        ) from None


def _lines(described: JsonValue) -> list[str]:
    """Return a line for each hyperparameter, condition and forbidden clause."""
    return [
        " ".join(f"{key}={value!r}" for key, value in entry.items() if value is not None)
        for section in ("hyperparameters", "conditions", "forbiddens")
        for entry in described[section]
    ]

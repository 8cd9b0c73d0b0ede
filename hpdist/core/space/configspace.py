"""Adapter to ConfigSpace: converts definitions of spaces and its hyperparameters to ours.

This module imports ConfigSpace, which takes seconds; `space` imports it when needed.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import ConfigSpace as CS
import numpy as np

from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.validation import check_kind, check_name, short_repr
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

DECIMALS = 13
"""ConfigSpace rounds the bounds of numbers to so many decimals."""

LARGEST = 1e290
"""ConfigSpace fails on larger numbers."""

KINDS = (Float, Int, Categorical, Ordinal, Constant)
FLOATS = (
    CS.UniformFloatHyperparameter,
    CS.NormalFloatHyperparameter,
    CS.BetaFloatHyperparameter,
)
INTS = (
    CS.UniformIntegerHyperparameter,
    CS.NormalIntegerHyperparameter,
    CS.BetaIntegerHyperparameter,
)
UNIFORM = (CS.UniformFloatHyperparameter, CS.UniformIntegerHyperparameter)


def configuration_space(definition: object) -> CS.ConfigurationSpace:
    """Return the ConfigurationSpace of a definition in the short form; see `Space.of`."""
    if isinstance(definition, CS.ConfigurationSpace):
        return definition
    if not isinstance(definition, Mapping):
        raise ConfigurationError(
            f"a space must be a dict or a ConfigurationSpace, got {short_repr(definition)}",
            do='write, for instance, {"lr": Float(1e-5, 0.1, log=True), "opt": ["adam", "sgd"]}',
        )
    space = CS.ConfigurationSpace()
    with configspace_errors("this space"):
        space.add([_hyperparameter(name, value) for name, value in definition.items()])
    return space


def described_space(data: object) -> CS.ConfigurationSpace:
    """Return the ConfigurationSpace of its own description."""
    if not isinstance(data, Mapping):
        raise ConfigurationError(f"{short_repr(data)} does not describe a space")
    with configspace_errors(f"the description {short_repr(data)}"):
        # ConfigSpace modifies the description while it reads it
        return CS.ConfigurationSpace.from_serialized_dict(copy.deepcopy(dict(data)))


def parameters(space: CS.ConfigurationSpace) -> dict[str, Parameter]:
    """Return the hyperparameters of ``space``, converted to ours, in its order."""
    check_kind("space", space, CS.ConfigurationSpace, do="use Space.of(...)")
    if not len(space):
        raise ConfigurationError("the space is empty", do="give at least one hyperparameter")
    with configspace_errors("this space"):
        return {_checked_name(name): _parameter(name, item) for name, item in space.items()}


@contextmanager
def configspace_errors(what: str) -> Iterator[None]:
    """Raise ConfigurationError, with ConfigSpace's exception as the cause, in its place."""
    try:
        yield
    except ConfigurationError:
        raise
    except Exception as error:
        raise ConfigurationError(
            f"ConfigSpace rejects {what}", cause=f"{type(error).__name__}: {error}"
        ) from error


def _checked_name(name: object) -> str:
    return check_name("the name of a hyperparameter", name)


def _hyperparameter(name: object, written: object) -> Any:
    name = _checked_name(name)
    if isinstance(written, CS.hyperparameters.Hyperparameter):
        if written.name != name:
            raise ConfigurationError(
                f"the key {name!r} has a hyperparameter named {written.name!r}",
                do="use the same name for both",
            )
        return written
    return _to_configspace(name, _parsed(name, written))


def _parsed(name: str, written: object) -> Parameter:
    try:
        if isinstance(written, KINDS):
            return written
        if isinstance(written, tuple):
            return _range(written)
        if isinstance(written, list | np.ndarray):
            return Categorical(written)  # type: ignore[arg-type]
        if isinstance(written, type | set | frozenset | range | Mapping):
            raise _no_parameter(written)
        return Constant(written)
    except ConfigurationError as error:
        raise ConfigurationError(f"{name}: {error.what}", cause=error.cause, do=error.do) from None


def _no_parameter(written: object) -> ConfigurationError:
    return ConfigurationError(
        f"{short_repr(written)} cannot be recorded as it is, and is no hyperparameter",
        do="write choices as a list: [...], a range as (low, high) or Float(low, high)",
    )


def _range(written: tuple[object, ...]) -> Parameter:
    bounds = [plain(bound) for bound in written]
    if len(bounds) != 2 or not all(isinstance(bound, int | float) for bound in bounds):
        raise ConfigurationError(
            f"{short_repr(written)} is not a range (low, high)", do="write choices as a list: [...]"
        )
    return Int(*bounds) if all(isinstance(bound, int) for bound in bounds) else Float(*bounds)


def _to_configspace(name: str, parameter: Parameter) -> Any:
    if isinstance(parameter, Float):
        return _uniform_float(name, parameter)
    if isinstance(parameter, Int):
        return CS.UniformIntegerHyperparameter(
            name, parameter.low, parameter.high, parameter.default, parameter.log
        )
    if isinstance(parameter, Ordinal):
        return CS.OrdinalHyperparameter(name, parameter.values, parameter.default)
    if isinstance(parameter, Categorical):
        return CS.CategoricalHyperparameter(
            name, parameter.choices, parameter.default, weights=parameter.weights
        )
    return CS.Constant(name, parameter.default)


def _uniform_float(name: str, parameter: Float) -> CS.UniformFloatHyperparameter:
    if max(-parameter.low, parameter.high) > LARGEST:
        raise ConfigurationError(
            f"{name}: {parameter} is too large",
            cause=f"ConfigSpace takes numbers up to {LARGEST:g}",
            do="search the exponent instead, and take the power in the objective",
        )
    low, high = round(parameter.low, DECIMALS), round(parameter.high, DECIMALS)
    kept = math.isclose(low, parameter.low, rel_tol=1e-3)
    if low >= high or not (kept and math.isclose(high, parameter.high, rel_tol=1e-3)):
        raise ConfigurationError(
            f"{name}: {parameter} is too fine",
            cause=f"ConfigSpace rounds numbers to {DECIMALS} decimals",
            do="search the exponent instead, and take the power in the objective",
        )
    return CS.UniformFloatHyperparameter(name, low, high, parameter.default, parameter.log)


def _parameter(name: str, item: Any) -> Parameter:
    if isinstance(item, CS.Constant):
        return Constant(item.value)
    if isinstance(item, CS.OrdinalHyperparameter):
        return Ordinal(item.sequence, item.default_value)
    if isinstance(item, CS.CategoricalHyperparameter):
        return Categorical(item.choices, item.weights, item.default_value)
    base: Float | Int
    if isinstance(item, FLOATS):
        base = Float(item.lower, item.upper, item.log, item.default_value)
    elif isinstance(item, INTS):
        base = Int(item.lower, item.upper, item.log, item.default_value)
    else:
        raise ConfigurationError(f"{name}: {type(item).__name__} is not a known hyperparameter")
    return base if isinstance(item, UNIFORM) else Skewed(base, _quantile(item))


def _quantile(item: Any) -> Callable[[float], float]:
    # ConfigSpace has no public access to the distribution that it samples from
    quantile: Callable[[float], float] = item._vector_dist.rv.ppf
    return quantile

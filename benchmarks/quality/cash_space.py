"""Which algorithm, with which hyperparameters: a conditional space small enough for a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.quality.problem import Condition, Parameter

BUDGETS = (1 / 27, 1 / 9, 1 / 3, 1.0)  #: share of the training set


def _choose(name: str, *choices: str) -> Parameter:
    return Parameter(name, "categorical", choices=choices)


def _grid(name: str, *values: float) -> Parameter:
    return Parameter(name, "ordinal", choices=values)


PARAMETERS = (
    _choose("algorithm", "svm", "forest", "neighbours", "boosting"),
    _choose("scaler", "none", "standard", "range"),
    _choose("kernel", "linear", "rbf", "poly"),
    _grid("C", 1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2, 1e3),
    _grid("gamma", 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0),
    _grid("degree", 2, 3),
    _choose("criterion", "gini", "entropy"),
    _grid("trees", 4, 16, 64, 128),
    _grid("max_features", 0.03, 0.1, 0.3, 0.6, 1.0),
    _grid("min_leaf", 1, 2, 4, 8, 16),
    _grid("k", 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48),
    _choose("weights", "uniform", "distance"),
    _grid("p", 1, 2),
    _grid("rate", 0.01, 0.03, 0.1, 0.3, 1.0),
    _grid("iterations", 4, 8, 16, 32, 64),
    _grid("leaves", 2, 4, 8, 16, 32),
)
CONDITIONS = (
    Condition("scaler", "algorithm", ("svm", "neighbours")),
    *(Condition(name, "algorithm", ("svm",)) for name in ("kernel", "C")),
    Condition("gamma", "kernel", ("rbf", "poly")),
    Condition("degree", "kernel", ("poly",)),
    *(
        Condition(name, "algorithm", ("forest",))
        for name in ("criterion", "trees", "max_features", "min_leaf")
    ),
    *(Condition(name, "algorithm", ("neighbours",)) for name in ("k", "weights", "p")),
    *(Condition(name, "algorithm", ("boosting",)) for name in ("rate", "iterations", "leaves")),
)


def configurations() -> Iterator[dict[str, Any]]:
    """List every configuration once, in a fixed order."""
    yield from _extended({}, PARAMETERS)


def _extended(config: dict[str, Any], rest: tuple[Parameter, ...]) -> Iterator[dict[str, Any]]:
    if not rest:
        yield config
        return
    first, others = rest[0], rest[1:]
    if _is_active(first.name, config):
        for choice in first.choices:
            yield from _extended({**config, first.name: choice}, others)
    else:
        yield from _extended(config, others)


def _is_active(name: str, config: dict[str, Any]) -> bool:
    return all(
        config.get(condition.parent) in condition.values
        for condition in CONDITIONS
        if condition.child == name
    )

"""Problems with two objectives, whose fronts are known."""

from __future__ import annotations

import csv
import math
from dataclasses import replace

import numpy as np

from benchmarks.quality.cash_space import CONDITIONS, PARAMETERS
from benchmarks.quality.problem import Configuration, Parameter, Problem
from benchmarks.quality.tabulate_cash import DATA
from hpdist.core.objective.pareto import hypervolume, non_dominated

NAMES = ("loss", "second")


def _problem(
    name: str, parameters: tuple[Parameter, ...], function: object, front: np.ndarray
) -> Problem:
    bound = front.max(axis=0) + 0.1 * np.ptp(front, axis=0)
    return Problem(
        name,
        "two objectives",
        parameters,
        loss=lambda config, budget, rng: function(config),
        truth=function,
        optimum=-hypervolume(front, bound.tolist()),
        reference=tuple(bound.tolist()),
    )


def _axes(dimension: int) -> tuple[Parameter, ...]:
    return tuple(Parameter(f"x{index}", "float") for index in range(dimension))


def zdt(number: int, dimension: int = 6) -> Problem:
    """Zitzler, Deb and Thiele, 2000: 1 has a convex front, 2 a concave one, 3 one in pieces."""
    shapes = {
        1: lambda f, g: 1 - np.sqrt(f / g),
        2: lambda f, g: 1 - (f / g) ** 2,
        3: lambda f, g: 1 - np.sqrt(f / g) - f / g * np.sin(10 * np.pi * f),
    }

    def both(config: Configuration) -> tuple[float, float]:
        first = config["x0"]
        rest = [config[f"x{index}"] for index in range(1, dimension)]
        g = 1 + 9 * float(np.mean(rest))
        return first, float(g * shapes[number](first, g))

    f = np.linspace(0.0, 1.0, 2000)
    front = np.column_stack([f, shapes[number](f, 1.0)])
    return _problem(f"zdt{number}", _axes(dimension), both, front[non_dominated(front)])


def branin_currin() -> Problem:
    """Branin against Currin's exponential, on the unit square; the front from a fine grid."""

    def both(config: Configuration) -> tuple[float, float]:
        a, b = 15 * config["x0"] - 5, 15 * config["x1"]
        valley = (b - 5.1 / (4 * math.pi**2) * a**2 + 5 / math.pi * a - 6) ** 2
        branin = valley + 10 * (1 - 1 / (8 * math.pi)) * math.cos(a) + 10
        x, y = config["x0"], max(config["x1"], 1e-6)
        top = 2300 * x**3 + 1900 * x**2 + 2092 * x + 60
        below = 100 * x**3 + 500 * x**2 + 4 * x + 20
        return branin, -(1 - math.exp(-1 / (2 * y))) * top / below

    grid = np.linspace(0.0, 1.0, 121)
    points = np.array([both({"x0": x, "x1": y}) for x in grid for y in grid])
    return _problem("branin_currin", _axes(2), both, points[non_dominated(points)])


def error_and_time(name: str) -> Problem:
    """Error rate against the logarithm of the training time, of the CASH table."""
    table = {}
    with (DATA / f"cash_{name}.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            key = tuple(row[one.name] for one in PARAMETERS)
            seconds = max(float(row["seconds_3"]), 1e-4)
            table[key] = float(row["error_3"]), math.log10(seconds)

    def both(config: Configuration) -> tuple[float, float]:
        return table[tuple(str(config.get(one.name, "")) for one in PARAMETERS)]

    points = np.array(list(table.values()))
    made = _problem(f"time_{name}", PARAMETERS, both, points[non_dominated(points)])
    return replace(made, conditions=CONDITIONS)

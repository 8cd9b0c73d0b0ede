"""The CASH problems: real trainings of scikit-learn, looked up in a table."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from typing import Any

from benchmarks.quality.cash_space import BUDGETS, CONDITIONS, PARAMETERS
from benchmarks.quality.problem import Configuration, Problem, exact
from benchmarks.quality.tabulate_cash import DATA


def cash(name: str) -> Problem:
    """Return the error rate of choosing and setting one of four algorithms on a data set."""
    table = {row[0]: row[1] for row in _rows(name)}

    def loss(config: Configuration, budget: float) -> float:
        rung = min(range(len(BUDGETS)), key=lambda index: abs(BUDGETS[index] - budget))
        return table[_key(config)][rung]

    return exact(
        f"cash_{name}",
        "conditional",
        PARAMETERS,
        loss,
        num_rungs=len(BUDGETS),
        optimum=min(errors[-1] for errors in table.values()),
        conditions=CONDITIONS,
    )


def _rows(name: str) -> Sequence[tuple[tuple[str, ...], list[float]]]:
    with (DATA / f"cash_{name}.csv").open(newline="") as file:
        return [
            (
                tuple(row[one.name] for one in PARAMETERS),
                [float(row[f"error_{index}"]) for index in range(len(BUDGETS))],
            )
            for row in csv.DictReader(file)
        ]


def _key(config: dict[str, Any]) -> tuple[str, ...]:
    return tuple(str(config.get(one.name, "")) for one in PARAMETERS)

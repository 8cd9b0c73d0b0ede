"""Which problems belong together, and how long a search on them is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.quality import several, synthetic
from benchmarks.quality.cash import cash
from benchmarks.quality.problem import Problem
from benchmarks.quality.yahpo import surrogate

LCBENCH = ("167168", "189906", "3945", "126026", "168868", "189873", "7593", "168330")
XGBOOST = ("12", "1501", "40499", "16")


@dataclass(frozen=True)
class Protocol:
    """Attributes
    ----------
    length
        Equivalents of evaluations at the highest budget: in all, or of each worker.
    workers
        1, or what ``--workers`` says.
    problems
        Makes the problems; given the folder of the YAHPO data, or None.
    """

    length: float
    workers: int
    problems: Callable[[Path | None], list[Problem]]

    @property
    def checkpoints(self) -> tuple[float, float, float]:
        return 0.25 * self.length, 0.5 * self.length, self.length


def _several_budgets(data: Path | None) -> list[Problem]:
    shipped = [
        synthetic.branin(),
        synthetic.hartmann(3, 2.5, 2.0),
        synthetic.hartmann(6, 2.5, 2.0),
        synthetic.hartmann(6, 3.5, 4.0),
        synthetic.borehole(),
        synthetic.counting_ones(8, 8),
        synthetic.counting_ones(32, 32),
        synthetic.learning_curves(1),
        synthetic.learning_curves(2),
        synthetic.nested(1),
        cash("digits"),
        cash("breast_cancer"),
    ]
    if data is None:
        return shipped
    return [
        *shipped,
        *(surrogate(data, "lcbench", instance) for instance in LCBENCH),
        *(surrogate(data, "lcbench", instance, 0.01) for instance in ("189906", "189909")),
        *(surrogate(data, "rbv2_xgboost", instance) for instance in XGBOOST),
        surrogate(data, "rbv2_rpart", "14"),
    ]


def _one_budget(data: Path | None) -> list[Problem]:
    classic = [
        synthetic.classic("ackley", 2),
        synthetic.classic("ackley", 10),
        synthetic.classic("rosenbrock", 5),
        synthetic.classic("levy", 6),
        synthetic.classic("griewank", 4),
    ]
    left_out = ("hartmann6_misleading", "counting_32_32", "curves_2")
    several = [one for one in _several_budgets(data) if one.name not in left_out]
    return [*classic, *(one.single() for one in several)]


def _two_objectives(data: Path | None) -> list[Problem]:
    return [
        *(several.zdt(number) for number in (1, 2, 3)),
        several.branin_currin(),
        several.error_and_time("digits"),
        several.error_and_time("breast_cancer"),
    ]


PROTOCOLS = {
    "mf": Protocol(30.0, 1, _several_budgets),
    "sf": Protocol(100.0, 1, _one_budget),
    "par": Protocol(7.5, 8, _several_budgets),
    "moo": Protocol(60.0, 1, _two_objectives),
}

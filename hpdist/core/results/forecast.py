"""Forecast of the share of a search that is done, and of the time left. Pure."""

from __future__ import annotations

import math
from dataclasses import asdict

from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.limits_and_timing import Limits
from hpdist.core.results.run_state import RunState
from hpdist.multi_fidelity import IterGenerator, Rung, make_plan, total_cost


class Forecast:
    """The expected size and duration of a search, from its plan if it has one and its limits.

    Attributes
    ----------
    is_single
        Whether there is only one budget.
    """

    def __init__(self, iter_generator: IterGenerator, time_limit_s: float = math.inf) -> None:
        self.is_single = len(iter_generator.budgets) == 1
        self._generator = iter_generator
        self._time_limit_s = time_limit_s
        self._at_start: dict[str, float] = {}
        self._plans: dict[int | None, tuple[Rung, ...]] = {}

    def start(self, state: RunState) -> None:
        """Measure speeds from here on: earlier sessions may have been faster or slower."""
        self._at_start = _amounts(state)

    def rungs(self, limits: Limits) -> tuple[Rung, ...]:
        """Return the planned rungs; none where nothing can be planned."""
        n_iterations = limits.n_iterations
        if n_iterations not in self._plans:
            self._plans[n_iterations] = _planned(self._generator, n_iterations)
        return self._plans[n_iterations]

    def evaluations(self, limits: Limits) -> int | None:
        """Return the largest possible number of evaluations; None if it is not known."""
        rungs = self.rungs(limits)
        goals = [
            limits.n_evaluations,
            limits.n_trials if self.is_single else None,
            sum(rung.num_configs for rung in rungs) if rungs else None,
        ]
        return min((goal for goal in goals if goal is not None), default=None)

    def seconds_left(self, state: RunState, now: float) -> float | None:
        """Return the seconds until the first goal is reached at the speed so far.

        ``now`` is wall time in seconds since 1970. None if it cannot be estimated.
        """
        elapsed, amounts = state.elapsed(now), _amounts(state)
        left = [self._time_limit_s - elapsed]
        for name, goal in self._goals(state.limits).items():
            gained = amounts[name] - self._at_start.get(name, 0.0)
            if gained > 0 and elapsed > 0:
                left.append((goal - amounts[name]) * elapsed / gained)
        return None if min(left) == math.inf else max(0.0, min(left))

    def _goals(self, limits: Limits) -> dict[str, float]:
        goals = {name: asdict(limits)[name] for name in ("n_trials", "n_evaluations", "max_cost")}
        if rungs := self.rungs(limits):
            goals["budget"] = total_cost(rungs)
        return {name: float(goal) for name, goal in goals.items() if goal is not None}


def _planned(generator: IterGenerator, n_iterations: int | None) -> tuple[Rung, ...]:
    if not n_iterations:
        return ()
    try:
        return make_plan(generator, n_iterations).rungs
    except ConfigurationError:
        return ()  # the number of evaluations depends on the results


def _amounts(state: RunState) -> dict[str, float]:
    """Return how much of each goal is done; budgets count when an evaluation is settled."""
    rungs = state.rungs.items()
    return {
        "budget": sum(status.budget * status.settled for _, status in rungs),
        "n_evaluations": float(state.evaluations),
        "n_trials": float(sum(status.created for (_, rung), status in rungs if rung == 0)),
        "max_cost": state.total_cost,
    }

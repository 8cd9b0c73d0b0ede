"""How far a search is, and how long it will still take. Pure."""

from __future__ import annotations

import math
from dataclasses import asdict

from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.values import JobState, Limits
from hpdist.core.results.summary import Summary
from hpdist.multi_fidelity import IterGenerator, Rung, make_plan, total_cost


class Forecast:
    """What a search will come to: the plan if it has one, and the limits.

    Attributes
    ----------
    rungs
        What is planned; empty where nothing can be planned.
    is_single
        Whether there is only one budget.
    """

    def __init__(self, iter_generator: IterGenerator, time_limit_s: float = math.inf) -> None:
        self._generator = iter_generator
        self.is_single = len(iter_generator.budgets) == 1
        self._time_limit_s = time_limit_s
        self._begin: dict[str, float] = {}
        self.set_limits(Limits())

    def set_limits(self, limits: Limits) -> None:
        """Take notice of the limits, when they are known and when they change."""
        self.rungs = _planned(self._generator, limits.n_iterations)
        goals = {name: asdict(limits)[name] for name in ("n_trials", "n_evaluations", "max_cost")}
        self._goals = {name: float(goal) for name, goal in goals.items() if goal is not None}
        if self.rungs:
            self._goals["budget"] = total_cost(self.rungs)

    def begin(self, summary: Summary) -> None:
        """Measure speeds from here on: what was done before says nothing about this session."""
        self._begin = _amounts(summary)

    @property
    def evaluations(self) -> int | None:
        """How many evaluations there will be at most; None if nobody can say."""
        goals = [self._goals.get("n_evaluations", math.inf)]
        if self.is_single:
            goals.append(self._goals.get("n_trials", math.inf))
        if self.rungs:
            goals.append(sum(rung.num_configs for rung in self.rungs))
        return None if min(goals) == math.inf else int(min(goals))

    def seconds_left(self, summary: Summary, now: float) -> float | None:
        """Seconds until the first goal is reached at the speed so far; None if nobody can say.

        ``now`` is wall time in seconds since 1970.
        """
        elapsed, amounts = summary.elapsed(now), _amounts(summary)
        left = [self._time_limit_s - elapsed]
        for name, goal in self._goals.items():
            gained = amounts[name] - self._begin.get(name, 0.0)
            if gained > 0 and elapsed > 0:
                left.append((goal - amounts[name]) * elapsed / gained)
        return None if min(left) == math.inf else max(0.0, min(left))


def _planned(generator: IterGenerator, n_iterations: int | None) -> tuple[Rung, ...]:
    if not n_iterations:
        return ()
    try:
        return make_plan(generator, n_iterations).rungs
    except ConfigurationError:
        return ()  # what happens depends on the results


def _amounts(summary: Summary) -> dict[str, float]:
    """How much of each goal is done; budgets count when an evaluation is settled."""
    settled = [state for state in JobState if state.settled]
    return {
        "budget": sum(
            view.budget * sum(view.counts[state] for state in settled)
            for view in summary.rungs.values()
        ),
        "n_evaluations": float(summary.evaluations),
        "n_trials": float(
            sum(view.created for (_, rung), view in summary.rungs.items() if rung == 0)
        ),
        "max_cost": summary.total_cost,
    }

"""Early stopping: rules that judge running evaluations by what they pass to ``ctx.report``.

A rule is a pure state machine. An evaluation that is stopped early is asked to end (``ctx.report``
returns "stop"); the loss that it returns then is its result.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np

from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.validation import check_whole, short_repr
from hpdist.core.model.values import JsonValue
from hpdist.multi_fidelity.budgets import check_eta, exact


@runtime_checkable
class StoppingRule(Protocol):
    """Judges running evaluations; its methods are called in the order of the journal.

    Losses are minimized. ``attempt`` separates the reports of a retry from those before it.
    """

    def report(self, job_id: int, attempt: int, budget: float, step: int, loss: float) -> None:
        """Add an intermediate loss."""
        ...

    def finished(self, job_id: int) -> None:
        """Note that an evaluation has ended, with a loss or without."""
        ...

    def stops(self, job_id: int) -> bool:
        """Return whether the evaluation should stop after its latest report; changes nothing."""
        ...

    def describe(self) -> dict[str, JsonValue]:
        """Return the name and the settings of the rule as JSON."""
        ...


@dataclass
class _Curve:
    """The reports of an evaluation: running means and the best loss, step by step."""

    attempt: int
    budget: float
    steps: list[int] = field(default_factory=list)
    means: list[float] = field(default_factory=list)
    best: float = math.inf

    def add(self, step: int, loss: float) -> None:
        if self.steps and step <= self.steps[-1]:
            return  # out of order, or reported twice
        count = len(self.steps)
        before = self.means[-1] if count else 0.0
        self.steps.append(step)
        self.means.append(before + (loss - before) / (count + 1))
        self.best = min(self.best, loss)

    def mean_at(self, step: int) -> float | None:
        """Return the mean of the losses up to ``step``; None if it ended before."""
        if not self.steps or self.steps[-1] < step:
            return None
        index = bisect_right(self.steps, step)
        return self.means[index - 1] if index else None


class MedianRule:
    """Stops an evaluation whose best loss is worse than the median of others so far.

    At step s its best loss is compared with the running means, up to s, of the finished
    evaluations at the same budget that came as far.

    Parameters
    ----------
    min_steps
        Steps that every evaluation may take.
    min_trials
        Finished evaluations needed for a comparison.

    References
    ----------
    Golovin, Solnik, Moitra, Kochanski, Karro and Sculley, "Google Vizier: a service for
    black-box optimization", KDD 2017, section 3.2.2.
    """

    def __init__(self, min_steps: int = 1, min_trials: int = 5) -> None:
        self._min_steps = check_whole("min_steps", min_steps, minimum=0)
        self._min_trials = check_whole("min_trials", min_trials, minimum=1)
        self._running: dict[int, _Curve] = {}
        self._finished: dict[float, list[_Curve]] = defaultdict(list)

    def report(self, job_id: int, attempt: int, budget: float, step: int, loss: float) -> None:
        curve = self._running.get(job_id)
        if curve is None or curve.attempt != attempt:
            curve = self._running[job_id] = _Curve(attempt, budget)
        curve.add(step, loss)

    def finished(self, job_id: int) -> None:
        curve = self._running.pop(job_id, None)
        if curve is not None:
            self._finished[curve.budget].append(curve)

    def stops(self, job_id: int) -> bool:
        curve = self._running.get(job_id)
        if curve is None or curve.steps[-1] < self._min_steps:
            return False
        others = self._finished.get(curve.budget, [])
        means = [mean for one in others if (mean := one.mean_at(curve.steps[-1])) is not None]
        return len(means) >= self._min_trials and curve.best > float(np.median(means))

    def describe(self) -> dict[str, JsonValue]:
        return {
            "name": "MedianRule",
            "min_steps": self._min_steps,
            "min_trials": self._min_trials,
        }


class RungRule:
    """Lets an evaluation pass a rung only if it is among the best ``1 / eta`` there so far.

    Rungs are at steps ``first * eta**k``. With one budget for all (`SingleFidelity`) this is
    the stopping variant of ASHA: nothing is promoted, so nothing has to be continued later.

    Parameters
    ----------
    first
        The step of the lowest rung.
    eta
        One in ``eta`` goes on.

    References
    ----------
    Li, Jamieson, Rostamizadeh, Gonina, Ben-tzur, Hardt, Recht and Talwalkar, "A system for
    massively parallel hyperparameter tuning", MLSys 2020; stopping instead of promoting as in
    Klein, Tiao, Lienart, Archambeau and Seeger, "Model-based asynchronous hyperparameter and neural
    architecture search", 2020.
    """

    def __init__(self, first: int = 1, eta: float = 3) -> None:
        self._first = check_whole("first", first, minimum=1)
        self._eta = check_eta(eta)
        self._losses: dict[tuple[float, int], dict[int, float]] = defaultdict(dict)
        self._at: dict[int, tuple[int, float, int]] = {}  #: attempt, budget, rung by job

    def report(self, job_id: int, attempt: int, budget: float, step: int, loss: float) -> None:
        known = self._at.get(job_id)
        last = known[2] if known is not None and known[0] == attempt else -1
        rung = self._rung(step)
        for passed in range(last + 1, rung + 1):
            self._losses[budget, passed][job_id] = loss
        self._at[job_id] = attempt, budget, max(rung, last)

    def finished(self, job_id: int) -> None:
        self._at.pop(job_id, None)

    def stops(self, job_id: int) -> bool:
        if job_id not in self._at:
            return False
        _, budget, rung = self._at[job_id]
        there = self._losses.get((budget, rung), {})
        if rung < 0 or len(there) < self._eta:
            return False
        better = sum(loss < there[job_id] for loss in there.values())
        return better >= int(len(there) / exact(self._eta))

    def _rung(self, step: int) -> int:
        """Return the highest rung at or below ``step``; -1 for none."""
        rung = -1
        while self._first * exact(self._eta) ** (rung + 1) <= step:
            rung += 1
        return rung

    def describe(self) -> dict[str, JsonValue]:
        return {"name": "RungRule", "first": self._first, "eta": self._eta}


NAMES: dict[str, Callable[[], StoppingRule]] = {"median": MedianRule, "rungs": RungRule}
"""The rules that can be chosen by name."""


def make_rule(rule: str | StoppingRule | None) -> StoppingRule | None:
    """Return the rule with that name; a rule, or None for no rule, is returned as it is.

    Raises
    ------
    ConfigurationError
        If there is no such rule.
    """
    if rule is None:
        return None
    if isinstance(rule, str):
        if rule in NAMES:
            return NAMES[rule]()
    elif isinstance(rule, StoppingRule) and not isinstance(rule, type):
        return rule
    raise ConfigurationError(
        f"early_stopping={short_repr(rule)} is no rule",
        do=f"choose {', '.join(NAMES)}, or give an object with the methods of StoppingRule",
    )

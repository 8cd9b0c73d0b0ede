"""Objectives of simulated searches: the outcome of an attempt, and how long it takes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hpdist.core.model.payload import Payload
from hpdist.core.model.states import FailureKind
from hpdist.core.model.values import Failure, Outcome, Success

Evaluate = Callable[[Payload, np.random.Generator], tuple[Outcome, float]]
"""Maps the payload of an attempt to its outcome and its duration in simulated seconds."""


def quadratic(payload: Payload, rng: np.random.Generator) -> tuple[Outcome, float]:
    """Return the sum of squares of a configuration's numbers, plus ``1 / budget``.

    The duration is log-normal with a median of one second for each unit of the budget.
    """
    numbers = [value for value in payload.config.values() if isinstance(value, int | float)]
    loss = float(sum(number**2 for number in numbers)) + 1.0 / payload.budget
    return Success(loss), float(payload.budget * rng.lognormal(0.0, 0.5))


def crashing(share: float, evaluate: Evaluate = quadratic) -> Evaluate:
    """Return ``evaluate``, except that a share of the attempts crash.

    Parameters
    ----------
    share
        Probability that the process of an attempt dies, within a second.
    evaluate
        The objective of the other attempts.
    """

    def evaluate_or_crash(payload: Payload, rng: np.random.Generator) -> tuple[Outcome, float]:
        if rng.random() < share:
            return Failure(FailureKind.CRASH, "killed by SIGSEGV"), float(rng.random())
        return evaluate(payload, rng)

    return evaluate_or_crash

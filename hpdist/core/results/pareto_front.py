"""The Pareto front of evaluations, and its hypervolume. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.validation import short_repr, to_real
from hpdist.core.objective.pareto import hypervolume, non_dominated
from hpdist.core.results.evaluation_result import EvaluationResult


def front(
    evaluations: Sequence[EvaluationResult], names: Sequence[str], sign: float
) -> list[EvaluationResult]:
    """Return those that no other one dominates, by loss; ``sign`` is -1 for maximizing."""
    known = [one for one in evaluations if all(one.objective(n) is not None for n in names)]
    if not known:
        return []
    losses = _losses(known, names, sign)
    best = [known[index] for index in np.flatnonzero(non_dominated(losses))]
    return sorted(best, key=lambda one: sign * (one.loss or 0.0))


def volume(
    evaluations: Sequence[EvaluationResult],
    reference: Sequence[float],
    names: Sequence[str],
    sign: float,
) -> float:
    """Return the hypervolume of a front."""
    numbers = [to_real(value) for value in reference]
    point = [sign * number for number in numbers if number is not None]
    if len(point) != len(names) or len(numbers) != len(names):
        raise ConfigurationError(
            f"the reference is {short_repr(reference)}",
            do=f"give one number for each of {', '.join(names)}",
        )
    return hypervolume(_losses(evaluations, names, sign), point) if evaluations else 0.0


def _losses(
    evaluations: Sequence[EvaluationResult], names: Sequence[str], sign: float
) -> NDArray[np.float64]:
    rows = [[one.objective(name) for name in names] for one in evaluations]
    return sign * np.array(rows, dtype=float)

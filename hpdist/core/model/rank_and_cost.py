"""The rules for the incumbent and for the cost of an evaluation, for studies and results alike."""

from __future__ import annotations

from hpdist.core.model.values import Job, Success

Rank = tuple[float, float, int]
"""(negated budget, loss to be minimized, job id): the incumbent has the smallest one."""


def loss_sign(direction: str) -> float:
    """Return 1 where losses are minimized, -1 where they are maximized."""
    return 1.0 if direction == "minimize" else -1.0


def rank_of(budget: float, loss: float, job_id: int, sign: float) -> Rank:
    """Return the rank of a success: largest budget first, then best loss, then earliest job.

    The job id makes the order total, so the incumbent does not depend on the order in which
    results arrive.
    """
    return (-budget, sign * loss, job_id)


def cost_of(job: Job, outcome: Success) -> float:
    """Return the cost that the objective returned; the budget where it returned none."""
    return job.budget if outcome.cost is None else outcome.cost

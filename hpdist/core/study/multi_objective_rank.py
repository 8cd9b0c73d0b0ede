"""The rank of evaluations with several objectives within their rung. Pure."""

from __future__ import annotations

import numpy as np

from hpdist.core.model.values import Job
from hpdist.core.objective.pareto import order
from hpdist.multi_fidelity import Bracket, HalvingBracket


class RungRanking:
    """Ranks the evaluations of each rung by several objectives.

    A bracket knows one loss, so it gets the rank among all evaluations of the rung so far, 0 for
    the best.
    """

    def __init__(self) -> None:
        self._rungs: dict[tuple[int, int], dict[int, tuple[Job, tuple[float, ...]]]] = {}

    def finished(self, bracket: Bracket, job: Job, losses: tuple[float, ...]) -> None:
        """Report the rank of an evaluation to its bracket.

        A synchronous bracket decides when the rung is full, so it also gets the new ranks of the
        others in the rung. An asynchronous one decided about them already.
        """
        rung = self._rungs.setdefault((job.bracket, job.rung), {})
        rung[job.trial_id] = job, losses
        jobs = [each for each, _ in rung.values()]
        again = isinstance(bracket, HalvingBracket) and bracket.promotes_from(job.rung)
        ordered = order(np.array([each for _, each in rung.values()]))
        for rank, index in enumerate(ordered):
            if again or jobs[index] is job:
                bracket.finished(jobs[index], float(rank))

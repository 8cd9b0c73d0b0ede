"""How evaluations with several objectives compare, for brackets, which know one loss. Pure."""

from __future__ import annotations

import numpy as np

from hpdist.core.model.values import Job
from hpdist.core.objective.pareto import order
from hpdist.multi_fidelity import Bracket, HalvingBracket


class Standings:
    """How the evaluations of each rung compare, when there are several objectives.

    A bracket knows one loss: it is given the place among all of the rung so far, 0 for the best.
    """

    def __init__(self) -> None:
        self._rungs: dict[tuple[int, int], dict[int, tuple[Job, tuple[float, ...]]]] = {}

    def tell(self, bracket: Bracket, job: Job, losses: tuple[float, ...]) -> None:
        """Tell a bracket of an evaluation; a synchronous one of the others in its rung again.

        An asynchronous one takes the first word only.
        """
        rung = self._rungs.setdefault((job.bracket, job.rung), {})
        rung[job.trial_id] = job, losses
        jobs = [each for each, _ in rung.values()]
        again = isinstance(bracket, HalvingBracket) and bracket.promotes_from(job.rung)
        ordered = order(np.array([each for _, each in rung.values()]))
        for place, index in enumerate(ordered):
            if again or jobs[index] is job:
                bracket.finished(jobs[index], float(place))

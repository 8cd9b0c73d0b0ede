"""Searches on an evaluator: the next job depends on the results of the jobs before."""

from __future__ import annotations

import logging
import math
import secrets
from typing import TYPE_CHECKING, Any

from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.events import AttemptEnded
from hpdist.core.model.limits_and_timing import Limits
from hpdist.core.model.states import FailureKind
from hpdist.core.model.validation import (
    check_choice,
    check_kind,
    check_seconds,
    check_seed,
    check_whole,
    maybe,
)
from hpdist.core.model.values import Evaluation, Failure, Outcome, Success
from hpdist.core.space.space import Space
from hpdist.core.study.study import Study
from hpdist.evaluator.base import Evaluator
from hpdist.evaluator.job import Job
from hpdist.evaluator.problem import HpProblem
from hpdist.evaluator.search_table import table
from hpdist.optimizers import GaussianProcess, Observation, Optimizer

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CBO", "HpProblem", "Search"]

logger = logging.getLogger(__name__)

STRATEGIES: dict[str, dict[str, Any]] = {
    "cl_min": {"acquisition": "ei", "pending": "liar-min"},
    "cl_mean": {"acquisition": "ei", "pending": "liar-mean"},
    "cl_max": {"acquisition": "ei", "pending": "liar-max"},
    "topk": {"acquisition": "ei", "pending": "believer"},
    "qUCB": {"acquisition": "qucb", "pending": "believer"},
    "qUCBd": {"acquisition": "qucbd", "pending": "believer"},
    "boltzmann": {"acquisition": "boltzmann", "pending": "believer"},
}
"""Names that `CBO` has for options of `hpdist.optimizers.GaussianProcess`."""


class Search:
    """A search for the parameters with the largest objective.

    Parameters
    ----------
    problem
        An `HpProblem`, or a space as `hpdist.core.space.space.Space.of` takes it.
    evaluator
        Runs the jobs; it stays open. Results of other evaluators of its search are used, too.
    optimizer
        Chooses parameters: a name, or an object that was built with the space.
    random_state
        Seed of all random choices; by default each search differs.
    num_objectives
        Number of values that the run function returns.

    Raises
    ------
    ConfigurationError
        If any of these cannot work.
    """

    def __init__(
        self,
        problem: Any,
        evaluator: Evaluator,
        optimizer: Optimizer | str = "auto",
        random_state: int | None = None,
        *,
        num_objectives: int = 1,
    ) -> None:
        named = isinstance(problem, HpProblem)
        self.space = problem.space if named else Space.of(problem)
        self._names = problem.hyperparameter_names if named else self.space.names
        self.evaluator = check_kind("evaluator", evaluator, Evaluator, do="Evaluator.create(run)")
        self.jobs: list[Job] = []  #: ended jobs in the order in which they were gathered
        count = check_whole("num_objectives", num_objectives, minimum=1)
        self._study = Study(
            self.space,
            optimizer=optimizer,
            limits=Limits(),
            direction="maximize",
            seed=secrets.randbits(32) if random_state is None else check_seed(random_state),
            objectives=["loss", *(f"objective_{index}" for index in range(1, count))],
        )
        self._open: dict[str, Evaluation] = {}
        self._num_other_jobs = 0  #: number of jobs of other evaluators

    def search(self, max_evals: int = -1, timeout: float | None = None) -> pd.DataFrame:
        """Continue the search, and return all its jobs so far.

        Ends at the first limit, or when a callback ends it; running jobs are waited for.

        Parameters
        ----------
        max_evals
            Number of jobs to submit in this call; -1 for unlimited.
        timeout
            Seconds after which no job starts; running jobs then have the evaluator's time of grace.

        Returns
        -------
        table
            A row for each job: parameters as ``p:*``; ``objective``, NaN for a failure (with
            several ``objective_0, objective_1, ...``); ``job_id``; ``job_status``, "completed"
            or why it failed ("exception", "invalid", "crash", "cancelled", ...); ``m:*``, times
            in seconds since the evaluator was made, and the run function's metadata.

        Raises
        ------
        HpdistError
            If the evaluator fails.
        """
        max_evals = check_whole("max_evals", max_evals, minimum=-1)
        maybe(check_seconds, "timeout", timeout)
        if max_evals == -1 and timeout is None and not self.evaluator.callbacks:
            raise ConfigurationError(
                "the search would never end", do="search(max_evals=100), or search(timeout=60)"
            )
        self.evaluator.announce(None if max_evals == -1 else max_evals)
        self.evaluator.timeout = timeout
        try:
            self._run(math.inf if max_evals == -1 else max_evals)
        finally:
            self.evaluator.timeout = None
        return table(self.jobs, self._names, len(self._study.objectives))

    def _run(self, left: float) -> None:
        while True:
            left -= self._submit(left)
            if not self._open:
                return
            self._gather()

    def _submit(self, left: float) -> int:
        """Submit a job for each free worker; return their number."""
        free = int(min(left, self.evaluator.num_workers - len(self._open)))
        submitted = 0
        while submitted < free and not self._over and (evaluation := self._study.ask()):
            if self._over:  # the time limit may have been reached during `ask`
                late = Failure(FailureKind.CANCELLED, "the search ended before it was submitted")
                self._study.apply(AttemptEnded(evaluation.job.job_id, 1, "", late))
                break
            (job,) = self.evaluator.submit([evaluation.config])
            self._open[job.id] = evaluation
            submitted += 1
        return submitted

    @property
    def _over(self) -> bool:
        return self.evaluator.time_left == 0 or self.evaluator.search_stopped

    def _gather(self) -> None:
        found = self.evaluator.gather("BATCH", 1)
        own, others = found if isinstance(found, tuple) else (found, [])
        for job in own:
            evaluation = self._open.pop(job.id, None)
            if evaluation is not None:  # otherwise the caller submitted it
                self._report(evaluation, job)
        for job in others:
            self._learn(job)

    def _report(self, evaluation: Evaluation, job: Job) -> None:
        outcome = self._outcome(job)
        self._study.apply(AttemptEnded(evaluation.job.job_id, 1, "", outcome))
        self.jobs.append(job)

    def _outcome(self, job: Job) -> Outcome:
        """Return the outcome for the study; a wrong number of objectives is a failure."""
        values = job.objective if isinstance(job.objective, tuple) else (job.objective,)
        names = self._study.objectives
        if job.failure is None and len(values) != len(names):
            text = f"{len(values)} objectives, and not num_objectives={len(names)}"
            job.settle(Failure(FailureKind.INVALID, f"the run function returned {text}"))
            logger.error("job %s: %s", job.id, job.failure)
        if job.failure is not None:
            return job.failure
        numbers = [float(value) for value in values if value is not None]
        return Success(numbers[0], None, dict(zip(names[1:], numbers[1:], strict=True)))

    def _learn(self, job: Job) -> None:
        """Report a job of another evaluator to the optimizer."""
        try:
            config = self.space.check(job.args)
        except ConfigurationError as error:
            logger.warning("job %s of another evaluator is of another space: %s", job.id, error)
            return
        outcome = self._outcome(job)
        self.jobs.append(job)
        if isinstance(outcome, Failure) and not outcome.kind.counts:
            return
        self._num_other_jobs += 1
        loss = -outcome.loss if isinstance(outcome, Success) else math.inf
        losses = None
        if isinstance(outcome, Success):
            losses = (loss, *(-value for value in outcome.info.values()))
        self._study.optimizer.tell(Observation(-self._num_other_jobs, config, 1.0, loss, losses))


class CBO(Search):
    """Bayesian optimization with a Gaussian process.

    Parameters
    ----------
    multi_point_strategy
        How running jobs affect the choice of the next ones. "cl_min", "cl_mean", "cl_max": they
        count as if they had the smallest, mean or largest known loss, the negative objective, so
        that "cl_min" samples near them and "cl_max" away from them. "topk": they count as
        predicted. "qUCB": confidence bounds of random width; "qUCBd": with a width that decreases
        periodically. "boltzmann": random choice, weighted by the acquisition.
    """

    def __init__(
        self,
        problem: Any,
        evaluator: Evaluator,
        random_state: int | None = None,
        multi_point_strategy: str = "cl_max",
    ) -> None:
        strategy = check_choice("multi_point_strategy", multi_point_strategy, STRATEGIES)
        space = problem.space if isinstance(problem, HpProblem) else Space.of(problem)
        seed = secrets.randbits(32) if random_state is None else check_seed(random_state)
        optimizer = GaussianProcess(space, seed=seed, **STRATEGIES[strategy])
        super().__init__(space, evaluator, optimizer, seed)

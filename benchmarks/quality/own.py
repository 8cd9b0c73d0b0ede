"""The production `Study` as a searcher."""

from __future__ import annotations

from typing import Any

from benchmarks.quality.problem import ETA, Condition, Parameter, Problem
from benchmarks.quality.several import NAMES
from benchmarks.quality.simulation import Job
from hpdist.core.model.limits_and_timing import Limits
from hpdist.core.space.space import Space
from hpdist.core.study.study import Evaluation, Study
from hpdist.multi_fidelity import Asha, Hyperband, IterGenerator, SingleFidelity
from hpdist.optimizers import Optimizer


def space_of(problem: Problem) -> Space:
    """Return the problem's parameters as hpdist writes them."""
    import ConfigSpace

    space = ConfigSpace.ConfigurationSpace()
    space.add([_hyperparameter(one) for one in problem.parameters])
    space.add([_condition(space, one) for one in problem.conditions])
    return Space.of(space)


def _hyperparameter(one: Parameter) -> Any:
    import ConfigSpace

    if one.kind == "categorical":
        return ConfigSpace.CategoricalHyperparameter(one.name, one.choices)
    if one.kind == "ordinal":
        return ConfigSpace.OrdinalHyperparameter(one.name, one.choices)
    kinds = {
        "float": ConfigSpace.UniformFloatHyperparameter,
        "int": ConfigSpace.UniformIntegerHyperparameter,
    }
    return kinds[one.kind](one.name, one.low, one.high, log=one.log)


def _condition(space: Any, one: Condition) -> Any:
    import ConfigSpace

    return ConfigSpace.InCondition(space[one.child], space[one.parent], list(one.values))


class OwnSearcher:
    """hpdist with an optimizer by name or as an object, inside Hyperband or ASHA."""

    def __init__(
        self, problem: Problem, optimizer: str | Optimizer, seed: int, scheduler: str = "hyperband"
    ) -> None:
        self._problem = problem
        self._study = Study(
            space_of(problem),
            _generator(problem, scheduler),
            optimizer,
            limits=Limits(n_iterations=1_000_000),
            seed=seed,
            objectives=NAMES if problem.reference else NAMES[:1],
        )
        self._open: dict[int, Evaluation] = {}

    def ask(self) -> Job | None:
        evaluation = self._study.ask()
        if evaluation is None:
            return None
        self._open[evaluation.job.job_id] = evaluation
        return Job(evaluation.job.job_id, evaluation.config, evaluation.budget)

    def tell(self, job: Job, loss: Any) -> None:
        if self._problem.reference:
            first, second = loss
            self._study.tell(self._open.pop(job.key), first, info={NAMES[1]: second})
        else:
            self._study.tell(self._open.pop(job.key), loss)

    def close(self) -> None:
        """Nothing is held."""


def _generator(problem: Problem, scheduler: str) -> IterGenerator:
    if problem.num_rungs == 1:
        return SingleFidelity(problem.highest, num_configs=1_000_000)
    if scheduler == "asha":
        return Asha(problem.lowest, problem.highest, ETA)
    return Hyperband(problem.lowest, problem.highest, ETA, rounding="hpbandster")

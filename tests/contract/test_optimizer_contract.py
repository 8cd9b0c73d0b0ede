"""All optimizers of hpdist keep the contract that is asked of others."""

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest

from hpdist.core.model.errors import ConfigurationError
from hpdist.core.space.space import Space
from hpdist.optimizers import (
    BOHB,
    CMAES,
    DEHB,
    ETPE,
    NAMES,
    TPE,
    Forest,
    GaussianProcess,
    Grid,
    Optimizer,
    ParEGO,
    PriorBand,
    RandomSearch,
    Sobol,
)
from hpdist.testing.optimizers import OptimizerContract, observations


class TestRandomSearch(OptimizerContract):
    def make(self, space: Space) -> Optimizer:
        return RandomSearch(space)


class TestSobol(OptimizerContract):
    def make(self, space: Space) -> Optimizer:
        return Sobol(space, seed=3)


class TestGaussianProcess(OptimizerContract):
    """With the model in use from the third suggestion on."""

    def make(self, space: Space) -> Optimizer:
        return GaussianProcess(space, num_initial=2)


@pytest.mark.slow
class TestLiar(OptimizerContract):
    """With batches spread by lies and drawn bounds."""

    def make(self, space: Space) -> Optimizer:
        return GaussianProcess(space, num_initial=2, acquisition="qucbd", pending="liar-max")


@pytest.mark.slow
class TestBoltzmann(OptimizerContract):
    def make(self, space: Space) -> Optimizer:
        return GaussianProcess(space, num_initial=2, acquisition="boltzmann", pending="liar-min")


class TestBOHB(OptimizerContract):
    def make(self, space: Space) -> Optimizer:
        return BOHB(space)


class TestTPE(OptimizerContract):
    def make(self, space: Space) -> Optimizer:
        return TPE(space, num_initial=2)


@pytest.mark.slow
class TestETPE(OptimizerContract):
    def make(self, space: Space) -> Optimizer:
        return ETPE(space, num_initial=2)


@pytest.mark.slow
class TestForest(OptimizerContract):
    def make(self, space: Space) -> Optimizer:
        return Forest(space, num_initial=2)


@pytest.mark.slow
class TestPriorBand(OptimizerContract):
    """With what the space's defaults say as the prior."""

    def make(self, space: Space) -> Optimizer:
        return PriorBand(space, prior=space.default())


class TestDEHB(OptimizerContract):
    def make(self, space: Space) -> Optimizer:
        return DEHB(space, population=4)


class TestCMAES(OptimizerContract):
    """On those spaces that it takes."""

    def suits(self, space: Space) -> bool:
        try:
            CMAES(space)
        except ConfigurationError:
            return False
        return True

    def make(self, space: Space) -> Optimizer:
        return CMAES(space)


@pytest.mark.slow
class TestParEGO(OptimizerContract):
    """With two objectives; a failure has none."""

    def taught(self, space: Space, losses: Sequence[float]) -> Optimizer:
        optimizer = self.make(space)
        for number, told in enumerate(observations(space, losses)):
            both = None if told.loss == math.inf else (told.loss, float(number % 3))
            optimizer.tell(replace(told, losses=both))
        return optimizer

    def make(self, space: Space) -> Optimizer:
        return ParEGO(space, num_initial=2)


class TestGrid(OptimizerContract):
    def make(self, space: Space) -> Optimizer:
        return Grid(space, per_parameter=3)


def test_every_named_optimizer_is_put_to_the_test():
    tested = {test().make for test in OptimizerContract.__subclasses__()}
    space = Space.of({"x": (0.0, 1.0)})
    assert {type(make(space)) for make in tested} == set(NAMES.values())

"""All iteration generators of hpdist keep the contract that is asked of others."""

import pytest

from hpdist.core.model.values import Job
from hpdist.multi_fidelity import (
    Asha,
    Custom,
    Hyperband,
    IterGenerator,
    NewTrial,
    SingleFidelity,
    SuccessiveHalving,
)
from hpdist.testing.iter_generators import IterGeneratorContract


class TestSingleFidelity(IterGeneratorContract):
    def make(self) -> IterGenerator:
        return SingleFidelity(2.0, num_configs=5)


class TestSingleFidelityByDefault(IterGeneratorContract):
    def make(self) -> IterGenerator:
        return SingleFidelity()


class TestSuccessiveHalving(IterGeneratorContract):
    def make(self) -> IterGenerator:
        return SuccessiveHalving(1, 9, num_configs=20)


class TestHyperband(IterGeneratorContract):
    def make(self) -> IterGenerator:
        return Hyperband(1, 27)


class TestHyperbandAsHpBandSter(IterGeneratorContract):
    def make(self) -> IterGenerator:
        return Hyperband(1, 27, rounding="hpbandster")


class TestHyperbandWithBrokenEta(IterGeneratorContract):
    def make(self) -> IterGenerator:
        return Hyperband(1, 30, eta=2.2)


class TestAsha(IterGeneratorContract):
    def make(self) -> IterGenerator:
        return Asha(1, 27)


class TestCustom(IterGeneratorContract):
    def make(self) -> IterGenerator:
        return Custom([[9, 4, 4], [3]], [[1, 2, 10], [10]])


class Broken:
    """A bracket with one fault, to see that the contract notices it."""

    is_finished = False

    def __init__(self, fault: str) -> None:
        self.fault, self.asked = fault, 0

    def propose(self) -> NewTrial | None:
        self.asked += 1
        if self.fault == "stalls":
            return None
        return NewTrial(float(self.asked))

    def started(self, job: Job) -> None: ...

    def finished(self, job: Job, loss: float) -> None: ...


class MakesBroken(SingleFidelity):
    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault = fault

    def get_next_iteration(self, iteration, **iteration_kwargs):
        return Broken(self.fault)


@pytest.mark.parametrize(
    ("fault", "complaint"), [("stalls", "neither proposes"), ("mutates", "twice")]
)
def test_the_contract_notices_a_broken_bracket(fault, complaint):
    class Contract(IterGeneratorContract):
        def make(self) -> IterGenerator:
            return MakesBroken(fault)

    with pytest.raises(AssertionError, match=complaint):
        Contract().test_failures_are_never_promoted()

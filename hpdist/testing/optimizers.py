"""The contract of an optimizer, as tests: inherit the class and define `make`.

>>> class TestMine(OptimizerContract):
...     def make(self, space):
...         return Mine(space)
"""

from __future__ import annotations

import copy
import functools
import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from hpdist.core.space.space import Categorical, Constant, Float, Int, Ordinal, Space
from hpdist.optimizers.base import Observation, Optimizer, Pending, Suggestion

HISTORIES = {
    "nothing": [],
    "one": [1.0],
    "rising": [float(k) for k in range(12)],
    "all failed": [math.inf] * 12,
    "some failed": [math.inf, 3.0, math.inf, 1.0, 2.0, 5.0, math.inf, 0.5, 4.0, math.inf],
    "constant": [1.0] * 12,
    "ties": [2.0, 1.0] * 6,
    "huge": [1e300 * (-1) ** k for k in range(10)],
    "tiny": [1e-300 * k for k in range(10)],
    "mixed": [1e300, 1e-300, 0.0, -1e300, math.inf, 1.0, 2.0, 3.0, 4.0, 5.0],
}


@functools.cache
def spaces() -> dict[str, Space]:
    """Return spaces with all kinds of parameters, conditions and forbidden clauses, by name."""
    flat: dict[str, dict[str, Any]] = {
        "one float": {"x": (0.0, 1.0)},
        "log": {"lr": Float(1e-5, 0.1, log=True), "units": Int(1, 1024, log=True)},
        "ints": {"layers": (1, 5), "units": (16, 512)},
        "categories": {"opt": ["adam", "sgd", "lamb"], "flag": [True, False], "reg": [None, "l1"]},
        "weighted": {"opt": Categorical(["a", "b", "c"], weights=[1, 0, 3]), "x": (-1.0, 1.0)},
        "ordinal": {"size": Ordinal(["s", "m", "l"]), "batch": Ordinal([16, 32, 64]), "x": (0, 9)},
        "constants": {"x": (0.0, 1.0), "c": Constant(3), "name": "net"},
        "one point": {"c": Constant(True)},
        "two points": {"opt": ["a", "b"]},
        "30 dimensions": {f"x{k}": (0.0, 1.0) for k in range(30)},
    }
    made = {name: Space.of(definition) for name, definition in flat.items()}
    return made | {
        "conditional": _conditional(),
        "nested": _nested(),
        "forbidden": _forbidden(),
    }


def _conditional() -> Space:
    import ConfigSpace as CS

    space = CS.ConfigurationSpace({"opt": ["adam", "sgd"], "momentum": (0.0, 1.0), "x": (1, 8)})
    space.add(CS.EqualsCondition(space["momentum"], space["opt"], "sgd"))
    return Space.of(space)


def _nested() -> Space:
    import ConfigSpace as CS

    space = CS.ConfigurationSpace(
        {"model": ["svm", "tree"], "kernel": ["rbf", "linear"], "gamma": (0.1, 1.0), "x": (0, 3)}
    )
    space.add(
        CS.EqualsCondition(space["kernel"], space["model"], "svm"),
        CS.EqualsCondition(space["gamma"], space["kernel"], "rbf"),
    )
    return Space.of(space)


def _forbidden() -> Space:
    import ConfigSpace as CS

    space = CS.ConfigurationSpace({"a": [1, 2, 3], "b": ["u", "v"], "low": (0, 9), "high": (0, 9)})
    space.add(
        CS.ForbiddenAndConjunction(
            CS.ForbiddenEqualsClause(space["a"], 2), CS.ForbiddenEqualsClause(space["b"], "u")
        ),
        CS.ForbiddenGreaterThanRelation(space["low"], space["high"]),
    )
    return Space.of(space)


def observations(space: Space, losses: Sequence[float]) -> list[Observation]:
    """Return observations with these losses at two budgets, every third of an earlier trial."""
    rng = np.random.default_rng(7)
    seen: list[Observation] = []
    for loss in losses:
        if len(seen) % 3 == 2:
            seen.append(Observation(seen[-1].trial_id, seen[-1].config, 3.0, loss))
        else:
            seen.append(Observation(len(seen), space.sample(rng), 1.0, loss))
    return seen


class OptimizerContract:
    """Tests for pytest; a subclass whose name starts with ``Test`` defines `make`."""

    def make(self, space: Space) -> Optimizer:
        """Return a new optimizer for ``space``, equal in each call."""
        raise NotImplementedError

    def suits(self, space: Space) -> bool:
        """Return whether the optimizer supports this space; by default it supports all."""
        return True

    def trained(self, space: Space, losses: Sequence[float]) -> Optimizer:
        """Return an optimizer with observations of these losses."""
        optimizer = self.make(space)
        for observation in observations(space, losses):
            optimizer.tell(observation)
        return optimizer

    def cases(self) -> Iterator[tuple[str, Space, list[float]]]:
        """Yield every supported space with every history, and a name of the pair."""
        for name, space in spaces().items():
            if not self.suits(space):
                continue
            for title, losses in HISTORIES.items():
                yield f"space {name!r}, history {title!r}", space, losses

    def few_cases(self) -> Iterator[tuple[str, Space, list[float]]]:
        """Pair every space with one history, and every history with two of the spaces."""
        broad = {"log", "conditional"}
        for name, space in spaces().items():
            if not self.suits(space):
                continue
            for title in HISTORIES if name in broad else ("some failed",):
                yield f"space {name!r}, history {title!r}", space, HISTORIES[title]

    def test_it_has_what_the_port_asks_for(self) -> None:
        assert isinstance(self.make(spaces()["log"]), Optimizer)

    def test_suggestions_are_valid_after_any_history(self) -> None:
        for case, space, losses in self.cases():
            for suggestion in _ask(self.trained(space, losses), n=2):
                assert space.check(suggestion.config) == suggestion.config, case

    def test_suggestions_are_plain_json(self) -> None:
        for case, space, losses in self.few_cases():
            for suggestion in _ask(self.trained(space, losses)):
                for part in (suggestion.config, suggestion.info):
                    assert json.loads(json.dumps(part, allow_nan=False)) == part, case
                assert isinstance(suggestion.info["origin"], str), case

    def test_asking_again_gives_the_same_answer(self) -> None:
        for case, space, losses in self.few_cases():
            optimizer = self.trained(space, losses)
            first = _ask(optimizer)
            before = copy.deepcopy(first)
            first[0].config["changed by the caller"] = True
            first[0].info.clear()
            assert _ask(optimizer) == before, case

    def test_asking_leaves_no_trace(self) -> None:
        for case, space, losses in self.few_cases():
            curious, other = self.trained(space, losses), self.trained(space, losses)
            _ask(curious, n=3, seed=5)
            extra = Observation(50, space.default(), 1.0, 0.25)
            curious.tell(extra)
            other.tell(extra)
            assert _ask(curious) == _ask(other), case

    def test_four_are_given_when_four_are_asked_for(self) -> None:
        for case, space, losses in self.few_cases():
            assert len(_ask(self.trained(space, losses), n=4)) == 4, case

    def test_the_same_results_give_the_same_next_suggestion(self) -> None:
        for case, space, losses in self.few_cases():
            first, second = self.trained(space, losses), self.trained(space, losses)
            assert _ask(first, n=2) == _ask(second, n=2), case

    def test_many_pending_evaluations_are_no_obstacle(self) -> None:
        for case, space, losses in self.few_cases():
            rng = np.random.default_rng(3)
            pending = [Pending(100 + k, space.sample(rng), 1.0) for k in range(8)]
            (suggestion,) = _ask(self.trained(space, losses), pending)
            assert space.check(suggestion.config) == suggestion.config, case

    def test_arguments_are_left_alone(self) -> None:
        for case, space, losses in self.few_cases():
            observed = observations(space, losses)
            pending = [Pending(100, space.default(), 1.0)]
            before = copy.deepcopy((observed, pending))
            optimizer = self.make(space)
            for observation in observed:
                optimizer.tell(observation)
            _ask(optimizer, pending)
            assert (observed, pending) == before, case

    def test_the_description_is_json_and_equal_for_equal_optimizers(self) -> None:
        space = spaces()["log"]
        description = self.make(space).describe()
        assert json.loads(json.dumps(description, allow_nan=False)) == description
        assert isinstance(description["name"], str)
        assert self.trained(space, HISTORIES["rising"]).describe() == description


def _ask(
    optimizer: Optimizer, pending: Sequence[Pending] = (), n: int = 1, seed: int = 1
) -> list[Suggestion]:
    return optimizer.ask(1.0, pending, np.random.default_rng(seed), n)

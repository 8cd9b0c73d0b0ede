"""CMA-ES, differential evolution, the grid and the forest do what their papers say."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable

import numpy as np
import pytest

from hpdist.core.model.errors import ConfigurationError, MissingExtra
from hpdist.core.model.limits_and_timing import Limits
from hpdist.core.space.space import Float, Int, Ordinal, Space
from hpdist.core.study.study import Study
from hpdist.multi_fidelity import Hyperband, SingleFidelity
from hpdist.optimizers import CMAES, DEHB, Forest, Grid, Observation, Optimizer
from hpdist.testing.optimizers import spaces

PLANE = Space.of({"x": (-5.0, 5.0), "y": (-5.0, 5.0)})


def valley(config: dict[str, float]) -> float:
    return (config["x"] - 1.5) ** 2 + 10 * (config["y"] + 2.0 - 0.5 * config["x"]) ** 2


def best_of(optimizer: Optimizer | str, n: int, seed: int = 0) -> float:
    study = Study(PLANE, SingleFidelity(num_configs=n), optimizer, seed=seed)
    best = math.inf
    while (evaluation := study.ask()) is not None:
        loss = valley(evaluation.config)
        study.tell(evaluation, loss)
        best = min(best, loss)
    return best


@pytest.mark.parametrize(
    ("make", "n"),
    [
        (lambda seed: CMAES(PLANE, seed=seed), 150),
        (lambda seed: DEHB(PLANE), 200),
        pytest.param(lambda seed: Forest(PLANE, seed=seed), 50, marks=pytest.mark.slow),
    ],
    ids=["cmaes", "dehb", "forest"],
)
def test_a_valley_is_descended_further_than_at_random(
    make: Callable[[int], Optimizer], n: int
) -> None:
    ours = [best_of(make(seed), n, seed) for seed in range(3)]
    other = [best_of("random", n, seed) for seed in range(3)]
    assert np.median(ours) < 0.3 * np.median(other), (ours, other)


def test_a_generation_of_cma_es_is_one_budgets_results_in_their_order() -> None:
    first, second = CMAES(PLANE), CMAES(PLANE)
    rng = np.random.default_rng(0)
    told = [PLANE.sample(rng) for _ in range(30)]
    for trial, config in enumerate(told):
        first.tell(Observation(trial, config, 9.0, valley(config)))
        second.tell(Observation(trial, config, 9.0, valley(config)))
        # Other budgets have generations of their own, incomplete here.
        if trial < 3:
            second.tell(Observation(100 + trial, config, 1.0, 0.0))
    asked = [one.ask(9.0, [], np.random.default_rng(1))[0] for one in (first, second)]
    assert asked[0] == asked[1]
    assert asked[0].info["generation"] == 5


def test_cma_es_begins_elsewhere_when_it_has_converged() -> None:
    optimizer = CMAES(PLANE)
    for trial in range(600):
        (asked,) = optimizer.ask(1.0, [], np.random.default_rng(trial))
        optimizer.tell(Observation(trial, asked.config, 1.0, valley(asked.config)))
    assert asked.info["start"] > 1


@pytest.mark.parametrize(("name", "said"), [("categories", "categories"), ("conditional", "cat")])
def test_cma_es_refuses_what_it_cannot_search(name: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        CMAES(spaces()[name])


@pytest.mark.parametrize(("kind", "extra"), [(CMAES, "cmaes"), (Forest, "forest")])
def test_a_missing_package_is_named_with_its_extra(
    kind: type[Optimizer], extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=rf"hpdist\[{extra}\]"):
        kind(PLANE)  # type: ignore[call-arg]


def test_dehb_breeds_within_the_population_of_its_budget() -> None:
    optimizer = DEHB(PLANE, population=6)
    rng = np.random.default_rng(0)
    for trial in range(40):
        config = PLANE.sample(rng)
        optimizer.tell(Observation(trial, config, 1.0, valley(config)))
    asked = [optimizer.ask(1.0, [], np.random.default_rng(k))[0] for k in range(40)]
    assert all(one.info["origin"] == "evolution" for one in asked)
    known = sorted(valley(PLANE.sample(np.random.default_rng(k))) for k in range(500))
    bred = [valley(one.config) for one in asked]
    assert np.median(bred) < known[len(known) // 4]


# ------------------------------------------------------------------- the grid


def test_a_grid_is_every_combination_once() -> None:
    space = Space.of(
        {"x": Float(0.0, 1.0), "lr": Float(1e-4, 1.0, log=True), "n": Int(1, 3), "k": ["a", "b"],
         "s": Ordinal([1, 5])}
    )  # fmt: skip
    configs = list(Grid(space, per_parameter=3).configurations())
    assert len(configs) == 3 * 3 * 3 * 2 * 2
    assert len({tuple(config.values()) for config in configs}) == len(configs)
    assert {config["x"] for config in configs} == {0.0, 0.5, 1.0}
    assert sorted({config["lr"] for config in configs}) == pytest.approx([1e-4, 1e-2, 1.0])


def test_what_is_inactive_or_forbidden_is_no_point_of_a_grid() -> None:
    assert len(list(Grid(spaces()["conditional"], per_parameter=2).configurations())) == 2 + 4
    space = spaces()["forbidden"]
    configs = list(Grid(space, per_parameter=10).configurations())
    assert all(space.check(config) == config for config in configs)
    assert len(configs) == 5 * 55


def test_a_search_takes_the_grid_in_order_and_then_goes_on_at_random() -> None:
    grid = Grid(PLANE, per_parameter=3, seed=1)
    expected = list(grid.configurations())
    study = Study(PLANE, SingleFidelity(num_configs=12), grid, limits=Limits(n_trials=12))
    done = []
    while (evaluation := study.ask()) is not None:
        done.append((evaluation.config, evaluation.trial.config_info["origin"]))
        study.tell(evaluation, valley(evaluation.config))
    assert [config for config, _ in done[:9]] == expected
    assert [origin for _, origin in done] == ["grid"] * 9 + ["random"] * 3


def test_a_huge_grid_is_not_made_as_a_whole() -> None:
    space = Space.of({f"x{k}": (0.0, 1.0) for k in range(60)})
    asked = Grid(space, per_parameter=10).ask(1.0, [], np.random.default_rng(0), 3)
    assert len({tuple(one.config.values()) for one in asked}) == 3


def test_a_forest_suggests_beside_pending_evaluations() -> None:
    study = Study(PLANE, Hyperband(1, 9), Forest(PLANE, num_initial=4), seed=3)
    open_ones = []
    origins = set()
    for _ in range(40):
        evaluation = study.ask()
        if evaluation is None:
            break
        origins.add(evaluation.trial.config_info["origin"])
        open_ones.append(evaluation)
        if len(open_ones) > 3:
            oldest = open_ones.pop(0)
            study.tell(oldest, valley(oldest.config) + 1 / oldest.budget)
    assert "model" in origins
    configs = [tuple(trial.config.values()) for trial in study.table.trials]
    assert len(set(configs)) == len(configs), "nothing that runs is suggested again"

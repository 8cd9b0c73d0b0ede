"""Kernel densities, and the optimizers that are made of them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hpdist.core.model.errors import ConfigurationError
from hpdist.core.space.encoding import EncodedSpace
from hpdist.core.space.space import Space
from hpdist.optimizers import BOHB, ETPE, TPE, Observation, Optimizer, Pending, PriorBand
from hpdist.optimizers.category_embedding import embedding_kernel
from hpdist.optimizers.kernel_density import Density, Kernels, aitchison_aitken
from hpdist.optimizers.user_prior import user_prior
from hpdist.testing.optimizers import spaces

MIXED = Space.of({"x": (0.0, 1.0), "z": ["a", "b", "c"]})


def mixed_density() -> Density:
    points = EncodedSpace(MIXED)
    centres = MIXED.encode([{"x": 0.4, "z": "a"}, {"x": 0.6, "z": "b"}, {"z": "b"}])
    kernels = Kernels(np.array([0.08, np.nan]), [None, aitchison_aitken(3, 0.3)])
    return Density(points, centres, kernels, np.array([1.0, 2.0, 1.0]))


def grid(n: int) -> np.ndarray:
    x = (np.arange(n) + 0.5) / n
    return np.array([(value, code) for value in x for code in range(3)])


def test_a_density_sums_to_one() -> None:
    total = np.exp(mixed_density().log(grid(2000))).sum() / 2000
    assert total == pytest.approx(1.0, abs=1e-4)


def test_draws_follow_the_density() -> None:
    density = mixed_density()
    drawn = density.sample(np.random.default_rng(0), 20_000)
    cells = grid(400)
    mass = np.exp(density.log(cells)) / 400
    for low, high, code in [(0.3, 0.5, 0), (0.5, 0.7, 1), (0.2, 0.4, 1), (0.0, 1.0, 2)]:
        inside = (cells[:, 0] >= low) & (cells[:, 0] < high) & (cells[:, 1] == code)
        seen = (drawn[:, 0] >= low) & (drawn[:, 0] < high) & (drawn[:, 1] == code)
        assert seen.mean() == pytest.approx(mass[inside].sum(), abs=0.015)


def test_bounds_are_drawn_themselves() -> None:
    kernels = Kernels(np.array([0.2, np.nan]), [None, aitchison_aitken(3, 0.3)])
    corner = Density(EncodedSpace(MIXED), MIXED.encode([{"x": 0.0, "z": "a"}]), kernels, np.ones(1))
    drawn = corner.sample(np.random.default_rng(0), 2000)
    assert (drawn[:, 0] == 0.0).mean() == pytest.approx(0.5, abs=0.04)


def test_of_a_parameter_that_a_component_does_not_have_it_says_nothing() -> None:
    space = spaces()["conditional"]
    points = EncodedSpace(space)
    centre = space.encode([{"opt": "adam", "x": 3}])
    kernels = Kernels(
        np.full(len(space.names), 0.05),
        [aitchison_aitken(int(k), 0.5) if k else None for k in points.num_choices],
    )
    density = Density(points, centre, kernels, np.ones(1))
    tried = space.encode([{"opt": "sgd", "momentum": m, "x": 3} for m in (0.1, 0.9)])
    low, high = density.log(tried)
    assert low == pytest.approx(high)


def test_categories_with_like_losses_share_what_is_known() -> None:
    column = np.array([0.0, 1.0, 2.0, 3.0] * 10)
    losses = np.array([0.0, 0.0, 5.0, 5.0] * 10) + np.random.default_rng(0).random(40)
    kernel = embedding_kernel(column, losses, 4)
    assert kernel.sum(axis=1) == pytest.approx(np.ones(4))
    assert kernel[0, 1] > 3 * kernel[0, 2]
    assert kernel[2, 3] > 3 * kernel[2, 0]


def bowl(config: dict[str, float]) -> float:
    return 5 * (config["x"] - 0.3) ** 2 + {"a": 1.0, "b": 0.0, "c": 0.5}[config["z"]]


@pytest.mark.parametrize("kind", [BOHB, TPE, ETPE])
def test_suggestions_get_better_than_random_ones(kind: type[Optimizer]) -> None:
    optimizer = kind(MIXED)  # type: ignore[call-arg]
    modelled, random = [], []
    for trial in range(120):
        (asked,) = optimizer.ask(1.0, [], np.random.default_rng(trial))
        loss = bowl(asked.config)
        optimizer.tell(Observation(trial, asked.config, 1.0, loss))
        (random if asked.info["origin"] == "random" else modelled).append(loss)
    assert len(modelled) > 60
    assert np.median(modelled[-30:]) < 0.2 * np.median(random)


@pytest.mark.parametrize("kind", [BOHB, TPE])
def test_the_highest_budget_known_well_enough_decides(kind: type[Optimizer]) -> None:
    optimizer, rng = kind(MIXED), np.random.default_rng(1)  # type: ignore[call-arg]
    for trial in range(40):
        config = MIXED.sample(rng)
        misleading = (config["x"] - 0.9) ** 2
        optimizer.tell(Observation(trial, config, 1.0, misleading))
        if trial % 2:
            optimizer.tell(Observation(trial, config, 9.0, bowl(config)))
    asked = [optimizer.ask(1.0, [], np.random.default_rng(k))[0] for k in range(60)]
    near = [one.config["x"] for one in asked if one.info["origin"] == "model"]
    assert abs(np.median(near) - 0.3) < 0.2


def test_tpe_keeps_away_from_what_is_pending() -> None:
    optimizer, rng = TPE(MIXED), np.random.default_rng(1)
    for trial in range(30):
        config = MIXED.sample(rng)
        optimizer.tell(Observation(trial, config, 1.0, bowl(config)))
    busy = [Pending(100 + k, {"x": 0.3 + 0.002 * k, "z": "b"}, 1.0) for k in range(20)]

    def distance(pending: list[Pending]) -> float:
        asked = [optimizer.ask(1.0, pending, np.random.default_rng(k))[0] for k in range(60)]
        return float(np.mean([abs(one.config["x"] - 0.32) for one in asked]))

    assert distance(busy) > 1.5 * distance([])


# ------------------------------------------------------------------- priors


def test_a_prior_prefers_what_the_user_said_and_leaves_the_rest_alone() -> None:
    prior = user_prior(EncodedSpace(MIXED), {"x": 0.2}, "high")
    near, far = prior.log(MIXED.encode([{"x": 0.2, "z": "a"}, {"x": 0.7, "z": "a"}]))
    other = prior.log(MIXED.encode([{"x": 0.2, "z": "c"}]))[0]
    assert near > far + 5
    assert near == pytest.approx(other)


@pytest.mark.parametrize(
    ("prior", "said"),
    [
        ({"y": 1}, "no parameter"),
        ({"x": 5.0}, "the prior of x is 5"),
        ({"z": "zebra"}, "zebra"),
        (5, "the prior is 5"),
    ],
)
def test_a_prior_that_cannot_be_is_refused(prior: object, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        PriorBand(MIXED, prior=prior)  # type: ignore[arg-type]


def test_priorband_is_random_less_and_less_up_the_rungs() -> None:
    optimizer = PriorBand(MIXED, prior={"x": 0.2})
    optimizer.tell(Observation(0, {"x": 0.5, "z": "a"}, 1.0, 1.0))
    for rung in range(4):
        shares = optimizer.shares(3.0**rung)
        assert shares["random"] == pytest.approx(1 / (1 + 3**rung))
        assert shares["incumbent"] == 0.0, "nothing is known well enough"
        assert sum(shares.values()) == pytest.approx(1.0)


def told(optimizer: PriorBand, places: list[float]) -> PriorBand:
    for trial, x in enumerate(places):
        optimizer.tell(Observation(trial, {"x": x, "z": "a"}, 27.0, float(trial)))
    return optimizer


def test_a_prior_that_misleads_loses_its_weight() -> None:
    right = told(PriorBand(MIXED, prior={"x": 0.2, "z": "a"}), [0.2, 0.21, 0.9, 0.5])
    wrong = told(PriorBand(MIXED, prior={"x": 0.9, "z": "c"}), [0.2, 0.21, 0.9, 0.5])
    assert wrong.shares(27.0)["prior"] < 0.1 * right.shares(27.0)["prior"]
    # Where the incumbent is what the user said, both are equally probable.
    equal = right.shares(27.0)
    assert equal["prior"] == pytest.approx(equal["incumbent"], rel=0.01)


def test_without_a_prior_incumbents_get_its_share() -> None:
    optimizer = told(PriorBand(MIXED), [0.2, 0.21, 0.9, 0.5])
    shares = optimizer.shares(27.0)
    assert shares["prior"] == 0.0
    assert shares["random"] + shares["incumbent"] == pytest.approx(1.0)
    assert PriorBand(MIXED).shares(1.0)["random"] == 1.0


def test_failures_only_leave_priorband_with_the_prior() -> None:
    optimizer = PriorBand(MIXED, prior={"x": 0.2})
    for trial in range(9):
        optimizer.tell(Observation(trial, {"x": 0.5, "z": "a"}, 1.0, math.inf))
    assert optimizer.shares(1.0)["incumbent"] == 0.0

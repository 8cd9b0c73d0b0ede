"""Strategies for several suggestions at once."""

from __future__ import annotations

import numpy as np
import pytest

from hpdist.core.model.errors import ConfigurationError
from hpdist.core.space.space import Space
from hpdist.optimizers import GaussianProcess, Observation, Pending, Suggestion
from hpdist.optimizers.batch_strategies import PENDING, PERIOD, TEMPERATURE, draw_kappa, trial_order

LINE = Space.of({"x": (0.0, 1.0)})


def test_lies_are_the_best_the_mean_and_the_worst_loss_known() -> None:
    predicted, known = np.array([0.5, 0.7]), np.array([1.0, 2.0, 6.0])
    told = {name: imagine(predicted, known).tolist() for name, imagine in PENDING.items()}
    assert told == {
        "believer": [0.5, 0.7],
        "liar-min": [1.0, 1.0],
        "liar-mean": [3.0, 3.0],
        "liar-max": [6.0, 6.0],
    }


def test_bounds_are_drawn_and_narrow_within_a_period() -> None:
    def mean(acquisition: str, num_observations: int) -> float:
        rngs = (np.random.default_rng(seed) for seed in range(2000))
        return float(np.mean([draw_kappa(acquisition, num_observations, rng) for rng in rngs]))

    assert mean("qucb", 0) == pytest.approx(1.96, rel=0.1)
    assert mean("qucb", PERIOD - 1) == mean("qucb", 0)
    assert mean("qucbd", PERIOD - 1) < 0.2 * mean("qucbd", 0)
    assert mean("qucbd", PERIOD) == mean("qucbd", 0)


def test_boltzmann_draws_in_proportion_to_the_exponential() -> None:
    scores = np.array([0.0, -TEMPERATURE, -10.0])
    first = [trial_order("boltzmann", scores, np.random.default_rng(k))[0] for k in range(4000)]
    shares = np.bincount(first, minlength=3) / 4000
    assert shares[0] / shares[1] == pytest.approx(np.e, rel=0.15)
    assert shares[2] == 0.0
    assert trial_order("qucb", scores, np.random.default_rng(0)).tolist() == [0, 1, 2]


def taught(**how: str) -> GaussianProcess:
    optimizer = GaussianProcess(LINE, num_initial=2, **how)  # type: ignore[arg-type]
    for trial, x in enumerate(np.linspace(0.0, 1.0, 9)):
        optimizer.tell(Observation(trial, {"x": float(x)}, 1.0, float((x - 0.52) ** 2)))
    return optimizer


def near_the_bottom(pending_as: str) -> float:
    """How often a suggestion is where something is pending."""
    optimizer = taught(pending=pending_as, acquisition="ei")
    busy = [Pending(100, {"x": 0.52}, 1.0)]
    asked = [optimizer.ask(1.0, busy, np.random.default_rng(k))[0] for k in range(40)]
    return float(np.mean([abs(one.config["x"] - 0.52) < 0.02 for one in asked]))


def test_the_worse_the_lie_the_further_suggestions_keep_away() -> None:
    assert near_the_bottom("liar-max") < near_the_bottom("believer")


def test_drawn_bounds_spread_a_batch_more_than_improvement_does() -> None:
    def batch(acquisition: str) -> list[Suggestion]:
        asked = taught(acquisition=acquisition).ask(1.0, [], np.random.default_rng(0), n=8)
        return [one for one in asked if one.info["origin"] == "model"]

    def spread(acquisition: str) -> float:
        return float(np.std([one.config["x"] for one in batch(acquisition)]))

    assert spread("qucb") > spread("ei")
    assert {one.info["acquisition"] for one in batch("qucb")} == {"confidence bound"}
    assert {one.info["acquisition"] for one in batch("ei")} == {"expected improvement"}


@pytest.mark.parametrize("how", [{"pending": "hope"}, {"acquisition": "best"}])
def test_unknown_strategies_are_refused(how: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(how))):
        GaussianProcess(LINE, **how)  # type: ignore[arg-type]

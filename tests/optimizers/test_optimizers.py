"""Random search and Sobol: distribution, numbering, and the choice by name."""

import numpy as np
import pytest

from hpdist.core.model.errors import ConfigurationError
from hpdist.core.space.space import Space
from hpdist.core.study.study import Study
from hpdist.optimizers import (
    NAMES,
    GaussianProcess,
    Observation,
    Pending,
    RandomSearch,
    Sobol,
    make_optimizer,
)


def square():
    return Space.of({"x": (0.0, 1.0), "y": (0.0, 1.0)})


def rng(seed=0):
    return np.random.default_rng(seed)


def told(optimizer, *trial_ids):
    for trial_id in trial_ids:
        optimizer.tell(Observation(trial_id, {"x": 0.5, "y": 0.5}, 1.0, 0.5))
    return optimizer


def indices(suggestions):
    return [suggestion.info["index"] for suggestion in suggestions]


def test_random_search_depends_on_the_generator_only():
    first = RandomSearch(square()).ask(1.0, [], rng(3), 2)
    second = told(RandomSearch(square()), 0, 1, 2).ask(9.0, [], rng(3), 2)
    assert first == second
    assert first[0] != first[1]
    assert first[0].info == {"origin": "random"}
    assert RandomSearch(square()).ask(1.0, [], rng(4), 2) != first


def test_sobol_goes_on_after_the_last_trial_known():
    fresh = Sobol(square()).ask(1.0, [], rng(), 6)
    assert indices(fresh) == [0, 1, 2, 3, 4, 5]
    optimizer = told(Sobol(square()), 0, 1, 0)
    assert optimizer.ask(1.0, [], rng(), 2) == fresh[2:4]
    pending = [Pending(3, fresh[3].config, 1.0), Pending(2, fresh[2].config, 1.0)]
    assert optimizer.ask(1.0, pending, rng(), 2) == fresh[4:6]


def test_sobol_needs_no_random_numbers():
    assert Sobol(square()).ask(1.0, [], rng(1), 3) == Sobol(square()).ask(1.0, [], rng(2), 3)


def test_sobol_gives_the_same_points_however_they_are_asked_for():
    wide = Sobol(square()).ask(1.0, [], rng(), 300)
    single = Sobol(square())
    for trial_id in range(300):
        assert single.ask(1.0, [], rng()) == [wide[trial_id]]
        told(single, trial_id)


def test_sobol_fills_the_square_evenly():
    points = [suggestion.config for suggestion in Sobol(square()).ask(1.0, [], rng(), 64)]
    boxes = {(int(point["x"] * 8), int(point["y"] * 8)) for point in points}
    assert len(boxes) == 64


def test_another_seed_scrambles_anew_and_is_another_description():
    assert Sobol(square(), 1).ask(1.0, [], rng()) != Sobol(square(), 2).ask(1.0, [], rng())
    assert Sobol(square(), 1).describe() == {"name": "Sobol", "seed": 1}


@pytest.mark.parametrize("seed", [-1, 1.5, None])
def test_sobol_refuses_a_seed_that_is_none(seed):
    with pytest.raises(ConfigurationError, match="seed"):
        Sobol(square(), seed)


def test_sobol_leaves_out_forbidden_points_and_gives_none_twice():
    import ConfigSpace as CS

    source = CS.ConfigurationSpace({"x": (0.0, 1.0), "y": (0.0, 1.0)})
    source.add(CS.ForbiddenGreaterThanRelation(source["x"], source["y"]))
    space = Space.of(source)
    suggestions = []
    optimizer = Sobol(space)
    for trial_id in range(20):
        suggestions += optimizer.ask(1.0, [], rng())
        told(optimizer, trial_id)
    chosen = indices(suggestions)
    assert chosen == sorted(set(chosen))
    assert chosen[-1] > 25
    assert all(s.config["x"] <= s.config["y"] for s in suggestions)


def test_sobol_gives_up_where_almost_everything_is_forbidden(monkeypatch):
    import ConfigSpace as CS

    source = CS.ConfigurationSpace({"a": (0, 3000), "b": (0, 3000)})
    source.add(
        CS.ForbiddenLessThanRelation(source["a"], source["b"]),
        CS.ForbiddenGreaterThanRelation(source["a"], source["b"]),
    )
    monkeypatch.setattr("hpdist.optimizers.sobol.MAX_TRIES", 100)
    with pytest.raises(ConfigurationError, match="0 of 256 points are not forbidden"):
        Sobol(Space.of(source)).ask(1.0, [], rng())


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("auto", GaussianProcess),
        ("gp", GaussianProcess),
        ("random", RandomSearch),
        ("sobol", Sobol),
    ],
)
def test_an_optimizer_is_found_by_name(name, kind):
    assert type(make_optimizer(name, square())) is kind
    assert name == "auto" or NAMES[name] is kind


def test_an_optimizer_is_returned_as_it_is():
    optimizer = Sobol(square(), seed=5)
    assert make_optimizer(optimizer, square()) is optimizer


@pytest.mark.parametrize("wrong", ["bayes", RandomSearch, None, object()])
def test_what_is_no_optimizer_is_refused_with_the_names(wrong):
    with pytest.raises(ConfigurationError, match=r"auto, .*random, sobol"):
        make_optimizer(wrong, square())


@pytest.mark.parametrize("name", ["gp", "sobol", "random"])
def test_the_seed_of_a_search_decides_its_first_configurations(name):
    def first(seed):
        study = Study(square(), optimizer=name, seed=seed)
        return [study.ask().config for _ in range(3)]

    assert first(1) == first(1)
    assert first(1) != first(2)

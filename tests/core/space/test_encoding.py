"""Encoded configurations are valid, however they are drawn or moved."""

import numpy as np
import pytest

from hpdist.core.space.encoding import EncodedSpace, row_keys
from hpdist.testing.optimizers import spaces


@pytest.mark.parametrize("name", list(spaces()))
class TestEverySpace:
    def test_drawn_points_are_valid_configurations(self, name):
        space = spaces()[name]
        points = EncodedSpace(space)
        drawn = points.sample(np.random.default_rng(0), 40)
        assert drawn.shape == (40, len(space.names))
        for point in drawn:
            config = points.decode(point)
            assert space.check(config) == config
            assert row_keys(space.encode([config])) == row_keys(point[None])

    def test_neighbours_are_valid_configurations(self, name):
        space, rng = spaces()[name], np.random.default_rng(1)
        points = EncodedSpace(space)
        near = points.neighbours(rng, points.sample(rng, 4), 10, np.full(10, 0.2), 0.4)
        assert len(near) > 0
        for point in near:
            config = points.decode(point)
            assert space.check(config) == config

    def test_settling_changes_no_point_of_a_configuration(self, name):
        space, rng = spaces()[name], np.random.default_rng(2)
        configs = [space.sample(rng) for _ in range(20)]
        encoded = space.encode(configs)
        filled = np.where(np.isnan(encoded), 0.0, encoded)
        settled, allowed = EncodedSpace(space).snap(filled)
        assert allowed.all()
        assert row_keys(settled) == row_keys(encoded)


def test_a_weight_of_zero_is_never_drawn():
    space = spaces()["weighted"]
    points = EncodedSpace(space)
    drawn = [points.decode(point)["opt"] for point in points.sample(np.random.default_rng(0), 400)]
    assert set(drawn) == {"a", "c"}
    assert drawn.count("c") > 2 * drawn.count("a")


def test_a_small_step_stays_near():
    space = spaces()["one float"]
    points = EncodedSpace(space)
    near = points.neighbours(
        np.random.default_rng(0), np.array([[0.5]]), 50, np.full(50, 0.01), 1.0
    )
    assert np.abs(near - 0.5).max() < 0.06

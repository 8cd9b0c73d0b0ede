"""The model behind the default optimizer: its gradient, its predictions, what it suggests."""

import math

import numpy as np
import pytest

from hpdist.core.space.space import Categorical, Space
from hpdist.optimizers import GaussianProcess, Observation, Pending
from hpdist.optimizers.acquisition import log_expected_improvement
from hpdist.optimizers.features import FeatureEncoding
from hpdist.optimizers.gp_kernel import Inputs, Kernel
from hpdist.optimizers.gp_regression import Posterior, _negative_log_posterior, fit
from hpdist.optimizers.loss_transform import transform_losses
from hpdist.optimizers.training_data import BudgetRange

BOWL = Space.of({"x": (0.0, 1.0), "y": (0.0, 1.0), "kind": ["a", "b", "c"]})


def bowl(config):
    penalty = {"a": 0.3, "b": 0.0, "c": 0.6}[config["kind"]]
    return (config["x"] - 0.7) ** 2 + (config["y"] - 0.2) ** 2 + penalty


def inputs(rng, n, *, budgets):
    high = rng.choice([0.0, 0.5, 1.0], n) if budgets else np.ones(n)
    return Inputs(rng.random((n, 4)), 0.7 * (high - 1), high)


def kernel(*, budgets):
    return Kernel(np.array([0, 1, 2, 2]), 3, budgets=budgets)


def search(optimizer, objective, n, seed, budget=1.0):
    """Return the losses of ``n`` evaluations, one after the other."""
    losses = []
    for trial in range(n):
        rng = np.random.default_rng([seed, trial])
        (suggestion,) = optimizer.ask(budget, [], rng)
        losses.append(objective(suggestion.config))
        optimizer.tell(Observation(trial, suggestion.config, budget, losses[-1]))
    return losses


@pytest.mark.parametrize("budgets", [True, False])
def test_the_gradient_is_that_of_the_posterior(budgets):
    rng = np.random.default_rng(0)
    model, x, y = kernel(budgets=budgets), inputs(rng, 15, budgets=budgets), rng.normal(size=15)
    theta = model.start + 0.2 * rng.normal(size=len(model.start))
    squares = model.squares(x.features)
    _, gradient = _negative_log_posterior(model, theta, x, y, squares)
    for index, expected in enumerate(gradient):
        step = np.zeros_like(theta)
        step[index] = 1e-5
        above, _ = _negative_log_posterior(model, theta + step, x, y, squares)
        below, _ = _negative_log_posterior(model, theta - step, x, y, squares)
        assert (above - below) / 2e-5 == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("budgets", [True, False])
def test_a_fit_is_more_probable_than_its_start(budgets):
    rng = np.random.default_rng(1)
    model, x = kernel(budgets=budgets), inputs(rng, 30, budgets=budgets)
    y = np.sin(5 * x.features[:, 0])
    squares = model.squares(x.features)
    theta = fit(model, x, y)
    fitted, _ = _negative_log_posterior(model, theta, x, y, squares)
    started, _ = _negative_log_posterior(model, model.start, x, y, squares)
    assert fitted < started - 5
    assert theta[0] < theta[1], "the parameter that matters has the shorter length scale"


def test_predictions_go_through_the_data_and_grow_unsure_away_from_it():
    rng = np.random.default_rng(2)
    model, x = kernel(budgets=False), inputs(rng, 30, budgets=False)
    y = x.features[:, 0]
    theta = fit(model, x, y)
    posterior = Posterior(model, theta, x, y)
    mean, deviation = posterior.predict(x)
    assert mean == pytest.approx(y, abs=0.02)
    far = Inputs(np.full((1, 4), 9.0), np.zeros(1), np.ones(1))
    assert posterior.predict(far)[1][0] > 10 * deviation.max()


def test_budgets_that_agree_inform_each_other():
    rng = np.random.default_rng(3)
    features = np.repeat(rng.random((20, 4)), 2, axis=0)
    high = np.tile([0.0, 1.0], 20)
    x = Inputs(features, 0.7 * (high - 1), high)
    y = features[:, 0] - 0.2 * high
    model = kernel(budgets=True)
    low = x.take(np.flatnonzero(high == 0))
    theta = fit(model, x, y)
    new = rng.random((10, 4))
    posterior = Posterior(model, theta, x, y)
    mean, _ = posterior.predict(Inputs(new, np.zeros(10), np.ones(10)))
    assert np.corrcoef(mean, new[:, 0])[0, 1] > 0.95
    assert len(low) == 20


def test_categories_are_as_far_apart_as_bounds_and_what_is_inactive_is_between():
    encoding = FeatureEncoding(np.array([0, 3]))
    points = np.array([[0.0, 0], [1.0, 0], [0.0, 2], [np.nan, np.nan]])
    features = encoding.features(points)
    assert np.linalg.norm(features[0] - features[1]) == pytest.approx(1.0)
    assert np.linalg.norm(features[0] - features[2]) == pytest.approx(1.0)
    assert features[3] == pytest.approx([0.5, 0, 0, 0])


@pytest.mark.parametrize(("mean", "deviation"), [(0.0, 1.0), (-2.0, 0.5), (1.5, 0.4), (0.3, 2.0)])
def test_expected_improvement_is_the_integral(mean, deviation):
    from scipy.integrate import quad
    from scipy.stats import norm

    integral, _ = quad(lambda y: -y * norm.pdf(y, mean, deviation), -30, 0, limit=200)
    found = log_expected_improvement(np.array([mean]), np.array([deviation]), 0.0)
    assert found[0] == pytest.approx(math.log(integral), rel=1e-5)


def test_expected_improvement_falls_without_underflow():
    means = np.array([0.0, 0.99, 1.01, 5.0, 50.0, 999.0, 1001.0, 1e6])
    found = log_expected_improvement(means, np.ones(8), 0.0)
    assert np.isfinite(found).all()
    assert (np.diff(found) < 0).all()


@pytest.mark.parametrize(
    "losses",
    [[1, 2, 3, 4, 100], [1e300, -1e300, 0, 1], [0, 1e-300, 3e-300], [5, 5, 5], [1e-9 + 1, 1, 2]],
)
def test_a_transform_keeps_the_order_and_is_finite(losses):
    losses = np.array(losses, dtype=float)
    values = transform_losses(losses)
    assert np.isfinite(values).all()
    order = np.argsort(losses)
    assert (np.diff(values[order]) >= 0).all()


def test_it_finds_the_bottom_where_random_search_does_not():
    best = [min(search(GaussianProcess(BOWL, seed=s), bowl, 35, s)) for s in range(3)]
    drawn = [BOWL.sample(np.random.default_rng([9, k])) for k in range(105)]
    assert max(best) < 1e-3 < min(map(bowl, drawn))


@pytest.mark.slow
def test_failures_are_avoided():
    def objective(config):
        return math.inf if config["x"] > 0.5 else bowl(config)

    losses = np.array([search(GaussianProcess(BOWL), objective, 50, seed) for seed in range(3)])
    assert np.isinf(losses[:, 10:]).mean() < 0.35, "half of the space fails"
    assert losses.min(axis=1).max() < 0.06, "the best that does not fail is 0.04"


def test_the_first_configurations_are_spread_evenly():
    optimizer = GaussianProcess(Space.of({"x": (0.0, 1.0)}), num_initial=8)
    rng = np.random.default_rng(0)
    xs = sorted(one.config["x"] for one in optimizer.ask(1.0, [], rng, n=8))
    assert [int(8 * x) for x in xs] == list(range(8))


def test_what_is_pending_is_not_suggested_again():
    optimizer = GaussianProcess(Space.of({"opt": ["a", "b", "c", "d"]}), num_initial=2)
    for trial, (opt, loss) in enumerate([("a", 1.0), ("b", 2.0)]):
        optimizer.tell(Observation(trial, {"opt": opt}, 1.0, loss))
    pending = [Pending(2, {"opt": "c"}, 1.0)]
    asked = [optimizer.ask(1.0, pending, np.random.default_rng(k))[0] for k in range(20)]
    modelled = [one.config["opt"] for one in asked if one.info["origin"] == "model"]
    assert set(modelled) == {"d"}


def test_it_says_why():
    optimizer = GaussianProcess(BOWL)
    search(optimizer, bowl, 20, 0)
    infos = [optimizer.ask(1.0, [], np.random.default_rng(k))[0].info for k in range(8)]
    modelled = [info for info in infos if info["origin"] == "model"]
    assert modelled
    for info in modelled:
        assert info["deviation"] > 0
        assert info["acquisition"] in ("expected improvement", "confidence bound")
        assert math.isfinite(info["mean"])
        assert math.isfinite(info["value"])


@pytest.mark.slow
def test_low_budgets_get_more_random_configurations():
    optimizer = GaussianProcess(Space.of({"x": (0.0, 1.0)}))
    for trial in range(24):
        x = trial / 24
        optimizer.tell(Observation(trial, {"x": x}, [1.0, 27.0][trial % 2], (x - 0.3) ** 2))

    def drawn(budget):
        asked = [optimizer.ask(budget, [], np.random.default_rng(k))[0] for k in range(120)]
        return sum(one.info["origin"] == "random" for one in asked)

    assert drawn(1.0) > 2 * drawn(27.0)


def test_the_model_stays_small_however_much_is_known(monkeypatch):
    sizes = []
    init = Posterior.__init__
    monkeypatch.setattr(
        Posterior,
        "__init__",
        lambda self, k, theta, x, y: (sizes.append(len(x)), init(self, k, theta, x, y))[1],
    )
    optimizer, rng = GaussianProcess(BOWL), np.random.default_rng(0)
    for trial in range(3000):
        config = BOWL.sample(rng)
        optimizer.tell(Observation(trial, config, 1.0, bowl(config)))
    for k in range(3):
        optimizer.ask(1.0, [], np.random.default_rng(k))
    assert sizes
    assert max(sizes) <= 256


def test_a_hundred_dimensions_are_no_obstacle():
    space = Space.of(
        {f"x{k}": (0.0, 1.0) for k in range(90)}
        | {f"c{k}": Categorical(["a", "b"]) for k in range(10)}
    )
    losses = search(GaussianProcess(space), lambda config: config["x0"], 14, 0)
    assert len(losses) == 14


def with_low_budget(loss_at_low):
    """An optimizer that was told 30 configurations at a low and at a high budget."""
    optimizer, rng = GaussianProcess(BOWL, num_initial=2), np.random.default_rng(3)
    for trial in range(30):
        config = BOWL.sample(rng)
        optimizer.tell(Observation(trial, config, 1.0, loss_at_low(config, rng)))
        optimizer.tell(Observation(trial, config, 27.0, bowl(config)))
    return optimizer


def test_a_low_budget_that_misleads_is_explored_more():
    honest = with_low_budget(lambda config, rng: bowl(config) + 0.1)
    blind = with_low_budget(lambda config, rng: float(rng.random()))
    budgets = BudgetRange(1.0, 27.0)
    assert honest.exploration_share(1.0, budgets) == pytest.approx(0.1)
    assert blind.exploration_share(1.0, budgets) > 0.25
    assert blind.exploration_share(27.0, budgets) == pytest.approx(0.02)

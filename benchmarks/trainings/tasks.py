"""Three learners on two data sets, each with a budget of its own kind."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

DATASETS = ("digits", "breast_cancer")
Config = dict[str, Any]


@dataclass(frozen=True)
class Split:
    """Scaled features and classes: for training, for validation and for the last word."""

    train: tuple[np.ndarray, np.ndarray]
    validation: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]


@cache
def split(name: str) -> Split:
    from sklearn import datasets
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler

    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    x, x_test, y, y_test = train_test_split(x, y, test_size=0.25, random_state=0, stratify=y)
    x, x_val, y, y_val = train_test_split(x, y, test_size=1 / 3, random_state=0, stratify=y)
    scaler = StandardScaler().fit(x)
    x, x_val, x_test = (scaler.transform(each) for each in (x, x_val, x_test))
    return Split((x, y), (x_val, y_val), (x_test, y_test))


@dataclass(frozen=True)
class Task:
    """A learner: ``grow(model, config, budget, data)`` trains on, from nothing if it is None.

    Attributes
    ----------
    space
        In hpdist's short form.
    budgets
        Lowest and highest budget.
    continues
        Whether a model trained with a lower budget is trained further.
    """

    name: str
    space: Callable[[], dict[str, Any]]
    budgets: tuple[float, float]
    grow: Callable[[Any, Config, float, Split, int], Any]
    continues: bool

    def loss(self, model: Any, data: tuple[np.ndarray, np.ndarray]) -> float:
        """Return the log loss, or the error rate of what has no probabilities."""
        from sklearn.metrics import log_loss

        x, y = data
        if not hasattr(model, "predict_proba"):
            return 1.0 - float(model.score(x, y))
        return float(log_loss(y, model.predict_proba(x), labels=model.classes_))

    def objective(self, data: Split, seed: int) -> Callable[..., dict[str, float]]:
        """Return what hpdist evaluates: it continues where a lower budget ended."""

        def evaluate(config: Config, budget: float, ctx: Any) -> dict[str, float]:
            model, before = None, ctx.previous_dir and ctx.previous_dir / "model"
            if self.continues and before and before.exists():
                model = pickle.loads(before.read_bytes())  # written by this process
            model = self.grow(model, config, budget, data, seed)
            if self.continues:
                Path(ctx.dir / "model").write_bytes(pickle.dumps(model))
            return {
                "loss": self.loss(model, data.validation),
                "test": self.loss(model, data.test),
            }

        return evaluate


def _network(model: Any, config: Config, budget: float, data: Split, seed: int) -> Any:
    from sklearn.neural_network import MLPClassifier

    x, y = data.train
    if model is None:
        model = MLPClassifier(
            (config["units"],) * config["layers"],
            activation=config["activation"],
            alpha=config["alpha"],
            learning_rate_init=config["learning_rate"],
            batch_size=config["batch_size"],
            random_state=seed,
        )
        model.epochs = 0
    while model.epochs < round(budget):
        model.partial_fit(x, y, classes=np.unique(y))
        model.epochs += 1
    return model


def _boosting(model: Any, config: Config, budget: float, data: Split, seed: int) -> Any:
    from sklearn.ensemble import GradientBoostingClassifier

    if model is None:
        model = GradientBoostingClassifier(
            learning_rate=config["learning_rate"],
            max_depth=config["depth"],
            subsample=config["subsample"],
            max_features=config["max_features"],
            min_samples_leaf=config["min_leaf"],
            warm_start=True,
            random_state=seed,
        )
    return model.set_params(n_estimators=round(budget)).fit(*data.train)


def _vectors(model: Any, config: Config, budget: float, data: Split, seed: int) -> Any:
    from sklearn.svm import SVC

    x, y = data.train
    chosen = np.random.default_rng(seed).permutation(len(x))[: max(round(budget * len(x)), 20)]
    model = SVC(C=config["C"], gamma=config["gamma"], kernel=config["kernel"], max_iter=50_000)
    return model.fit(x[chosen], y[chosen])


def _network_space() -> dict[str, Any]:
    from hpdist.core.space.parameters import Float, Int

    return {
        "learning_rate": Float(1e-4, 1.0, log=True),
        "alpha": Float(1e-6, 1.0, log=True),
        "units": Int(8, 256, log=True),
        "layers": Int(1, 3),
        "batch_size": Int(8, 256, log=True),
        "activation": ["relu", "tanh", "logistic"],
    }


def _boosting_space() -> dict[str, Any]:
    from hpdist.core.space.parameters import Float, Int

    return {
        "learning_rate": Float(0.01, 1.0, log=True),
        "depth": Int(1, 8),
        "subsample": Float(0.3, 1.0),
        "max_features": Float(0.05, 1.0, log=True),
        "min_leaf": Int(1, 50, log=True),
    }


def _vectors_space() -> dict[str, Any]:
    from hpdist.core.space.parameters import Float

    return {
        "C": Float(1e-3, 1e4, log=True),
        "gamma": Float(1e-6, 10.0, log=True),
        "kernel": ["rbf", "poly", "sigmoid"],
    }


TASKS = {
    "network": Task("network", _network_space, (3, 81), _network, continues=True),
    "boosting": Task("boosting", _boosting_space, (4, 108), _boosting, continues=True),
    "vectors": Task("vectors", _vectors_space, (1 / 27, 1.0), _vectors, continues=False),
}

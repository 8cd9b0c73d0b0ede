"""Train every configuration of the CASH space at every budget, and write the table.

    python -m benchmarks.quality.tabulate_cash digits breast_cancer

Three folds; error rate on the fold held out, and seconds of training. An hour on one core.
"""

from __future__ import annotations

import csv
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quality.cash_space import BUDGETS, PARAMETERS, configurations

DATA = Path(__file__).parents[1] / "data"


def estimator(config: dict[str, Any]) -> Any:
    """Return the scikit-learn pipeline of a configuration."""
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler, StandardScaler
    from sklearn.svm import SVC

    steps = {"standard": [StandardScaler()], "range": [MinMaxScaler()]}
    before = steps.get(config.get("scaler", "none"), [])
    if config["algorithm"] == "svm":
        model = SVC(
            C=config["C"],
            kernel=config["kernel"],
            gamma=config.get("gamma", "scale"),
            degree=config.get("degree", 3),
            max_iter=20_000,
        )
    elif config["algorithm"] == "forest":
        model = RandomForestClassifier(
            config["trees"],
            criterion=config["criterion"],
            max_features=config["max_features"],
            min_samples_leaf=config["min_leaf"],
            random_state=0,
        )
    elif config["algorithm"] == "neighbours":
        model = KNeighborsClassifier(config["k"], weights=config["weights"], p=config["p"])
    else:
        model = HistGradientBoostingClassifier(
            learning_rate=config["rate"],
            max_iter=config["iterations"],
            max_leaf_nodes=config["leaves"],
            early_stopping=False,
            random_state=0,
        )
    return make_pipeline(*before, model)


def train(config: dict[str, Any], budget: float, folds: list[Any]) -> tuple[float, float]:
    """Return the mean error rate over folds, and the seconds that training took."""
    errors, seconds = [], 0.0
    for x, y, x_test, y_test in folds:
        size = max(round(budget * len(x)), 10)
        started = time.perf_counter()
        model = estimator(_fitting(config, size))
        model.fit(x[:size], y[:size])
        seconds += time.perf_counter() - started
        errors.append(1.0 - model.score(x_test, y_test))
    return float(np.mean(errors)), seconds


def _fitting(config: dict[str, Any], size: int) -> dict[str, Any]:
    """As many neighbours as there are points, at most."""
    return {**config, "k": min(config["k"], size)} if "k" in config else config


def folds_of(name: str) -> list[Any]:
    """Return three (x, y, x_test, y_test), with the classes mixed."""
    from sklearn import datasets
    from sklearn.model_selection import StratifiedKFold

    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    split = StratifiedKFold(3, shuffle=True, random_state=0).split(x, y)
    rng = np.random.default_rng(0)
    mixed = [(rng.permutation(train), test) for train, test in split]
    return [(x[train], y[train], x[test], y[test]) for train, test in mixed]


def main(names: list[str]) -> None:
    warnings.filterwarnings("ignore")
    for name in names:
        folds = folds_of(name)
        with (DATA / f"cash_{name}.csv").open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(
                [one.name for one in PARAMETERS]
                + [f"error_{index}" for index in range(len(BUDGETS))]
                + [f"seconds_{index}" for index in range(len(BUDGETS))]
            )
            for config in configurations():
                results = [train(config, budget, folds) for budget in BUDGETS]
                writer.writerow(
                    [config.get(one.name, "") for one in PARAMETERS]
                    + [f"{error:.6f}" for error, _ in results]
                    + [f"{seconds:.4f}" for _, seconds in results]
                )


if __name__ == "__main__":
    main(sys.argv[1:] or ["digits", "breast_cancer"])

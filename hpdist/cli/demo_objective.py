"""The objective of ``hpdist demo``: a neural network for scikit-learn's handwritten digits.

An objective as one would write it. The budget is the number of epochs; a configuration that was
trained for fewer epochs before is trained on from there.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from hpdist.core.objective.context import Context
from hpdist.core.space.parameters import Float, Int

space = {
    "units": Int(8, 128, log=True),
    "layers": (1, 3),
    "learning_rate": Float(1e-5, 1.0, log=True),
    "alpha": Float(1e-6, 1.0, log=True),
    "batch_size": Int(16, 256, log=True),
    "activation": ["relu", "tanh", "logistic"],
}

budget = (1, 27)


def train(config: dict[str, Any], epochs: float, ctx: Context) -> dict[str, float]:
    """Train a network for ``epochs`` epochs in all; returns its log loss on validation data."""
    from sklearn.metrics import log_loss

    x, y, x_validation, y_validation = load_digits_split()
    model = build(config, ctx.seed)
    done = restore(model, x, y, ctx.previous_dir)
    while done < int(epochs):
        model.partial_fit(x, y)
        done += 1
        loss = float(log_loss(y_validation, model.predict_proba(x_validation)))
        if ctx.report(done, loss) == "stop":
            break
    save(model, done, ctx.dir)
    return {"loss": loss, "accuracy": float(model.score(x_validation, y_validation))}


@cache
def load_digits_split() -> tuple[Any, Any, Any, Any]:
    """Return training and validation data: (1257, 64), (1257,), (540, 64), (540,)."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, digits = load_digits(return_X_y=True)
    x, x_validation, y, y_validation = train_test_split(
        images / 16.0, digits, test_size=0.3, random_state=0, stratify=digits
    )
    return x, y, x_validation, y_validation


def build(config: dict[str, Any], seed: int) -> Any:
    """Return an untrained network."""
    from sklearn.neural_network import MLPClassifier

    return MLPClassifier(
        hidden_layer_sizes=(config["units"],) * config["layers"],
        activation=config["activation"],
        learning_rate_init=config["learning_rate"],
        alpha=config["alpha"],
        batch_size=config["batch_size"],
        random_state=seed % 2**32,
    )


def restore(model: Any, x: Any, y: Any, directory: Path | None) -> int:
    """Load the weights of a shorter training, if there is one, and return its epochs."""
    import numpy as np

    checkpoint = None if directory is None else directory / "weights.npz"
    model.partial_fit(x[:256], y[:256], classes=range(10))  # makes the arrays
    if checkpoint is None or not checkpoint.exists():
        return 0
    with np.load(checkpoint, allow_pickle=False) as saved:
        for number, array in enumerate([*model.coefs_, *model.intercepts_]):
            array[...] = saved[f"arr_{number}"]
        return int(saved["epochs"])


def save(model: Any, epochs: int, directory: Path) -> None:
    """Save the weights for a longer training."""
    import numpy as np

    np.savez(directory / "weights.npz", *model.coefs_, *model.intercepts_, epochs=epochs)

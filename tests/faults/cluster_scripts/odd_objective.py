"""The objective, which returns something odd in the trials that ``odd.json`` gives a name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from objective import evaluate as evaluate_as_ever


class Custom:
    """An object of one's own."""


def nested(depth: int) -> Any:
    found: Any = 1.0
    for _ in range(depth):
        found = [found]
    return found


#: From the loss as it should be to what is returned in its place.
ODD: dict[str, Callable[[float], Any]] = {
    "np.float64": np.float64,
    "np.float64 in a dict": lambda loss: {"loss": np.float64(loss)},
    "0-d array": np.array,
    "np.int64 as info": lambda loss: {"loss": loss, "info": {"epochs": np.int64(7)}},
    "__class__ as a key": lambda loss: {"loss": loss, "info": {"__class__": "posix.system"}},
    "lone surrogate": lambda loss: {"loss": loss, "info": "\ud800"},
    "NaN": lambda loss: float("nan"),
    "inf": lambda loss: np.float32("inf"),
    "None": lambda loss: None,
    "str": str,
    "bytes": lambda loss: b"0.5",
    "1-d array": lambda loss: np.array([loss, loss]),
    "dict without loss": lambda loss: {"accuracy": loss},
    "NaN as loss": lambda loss: {"loss": float("nan")},
    "complex": complex,
    "10**5000": lambda loss: 10**5000,
    "10**5000 as info": lambda loss: {"loss": loss, "info": {"steps": 10**5000}},
    "10 MiB": lambda loss: {"loss": loss, "info": {"log": "x" * (10 * 2**20)}},
    "depth 1000": lambda loss: {"loss": loss, "info": {"tree": nested(1000)}},
    "bytes as info": lambda loss: {"loss": loss, "info": {"blob": b"\x00"}},
    "custom object": lambda loss: Custom(),
    "custom object as info": lambda loss: {"loss": loss, "info": {"model": Custom()}},
}


def evaluate(config: dict[str, float], budget: float, ctx: Any) -> Any:
    loss = evaluate_as_ever(config, budget, ctx)
    name = json.loads(Path("odd.json").read_text()).get(str(ctx.trial_id))
    return ODD[name](loss) if name else loss

"""What a benchmark problem is, and the parameters it is made of."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Configuration = dict[str, Any]
Losses = Callable[[Configuration, float], Any]

ETA = 3


@dataclass(frozen=True)
class Parameter:
    """A parameter, described independently of any library.

    ``kind`` is "float", "int", "categorical" or "ordinal"; the latter two have ``choices``.
    """

    name: str
    kind: str
    low: float = 0.0
    high: float = 1.0
    log: bool = False
    choices: tuple[Any, ...] = ()

    def at(self, u: float) -> Any:
        """Return the value at ``u`` in [0, 1): uniform, on a logarithmic scale if ``log``."""
        if self.choices:
            return self.choices[min(int(u * len(self.choices)), len(self.choices) - 1)]
        half = 0.5 if self.kind == "int" else 0.0
        low, high = self.low - half, self.high + half
        if self.log:
            value = math.exp(math.log(low) + u * (math.log(high) - math.log(low)))
        else:
            value = low + u * (high - low)
        if self.kind == "int":
            value = round(value)
        return type(value)(min(max(value, self.low), self.high))


@dataclass(frozen=True)
class Condition:
    """``child`` is active when ``parent`` is, and has one of ``values``."""

    child: str
    parent: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Problem:
    """A function to minimize whose true optimum, or the best known, serves as the mark.

    Attributes
    ----------
    group
        Problems of one group are alike; tables give the mean of groups, too.
    loss
        ``loss(config, budget, rng)``: what an evaluation observes, noise included.
    truth
        ``truth(config)``: without noise, at the highest budget; only for scoring.
    highest
        The highest budget; the lower ones are a third of the next each.
    num_rungs
        1 if there is one budget only.
    optimum
        Lowest value of ``truth`` if it is known exactly.
    reference
        With several objectives a point worse than all of the front, and ``optimum`` is minus the
        front's hypervolume; ``loss`` and ``truth`` return a value for each.
    """

    name: str
    group: str
    parameters: tuple[Parameter, ...]
    loss: Callable[[Configuration, float, np.random.Generator], Any]
    truth: Callable[[Configuration], Any]
    highest: float = 1.0
    num_rungs: int = 1
    optimum: float | None = None
    conditions: tuple[Condition, ...] = field(default=())
    reference: tuple[float, ...] = ()

    @property
    def lowest(self) -> float:
        return self.highest / ETA ** (self.num_rungs - 1)

    def sample(self, rng: np.random.Generator) -> Configuration:
        """Draw a configuration: what random search would evaluate."""
        return self.active({one.name: one.at(float(rng.random())) for one in self.parameters})

    def active(self, config: Configuration) -> Configuration:
        """Leave out what is inactive."""
        for condition in self.conditions:
            if config.get(condition.parent) not in condition.values:
                config = {k: v for k, v in config.items() if k != condition.child}
        return config

    def single(self) -> Problem:
        """The same with the highest budget only."""
        from dataclasses import replace

        return replace(self, name=f"{self.name}.full", num_rungs=1)


def exact(
    name: str, group: str, parameters: tuple[Parameter, ...], function: Losses, **more: Any
) -> Problem:
    """A problem without noise, from ``function(config, budget)``."""
    highest = more.get("highest", 1.0)
    return Problem(
        name,
        group,
        parameters,
        loss=lambda config, budget, rng: function(config, budget),
        truth=lambda config: function(config, highest),
        **more,
    )

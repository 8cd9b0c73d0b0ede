"""The port of an optimizer, and the values that it takes and returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np

from hpdist.core.model.values import Configuration, JsonValue


@dataclass(frozen=True)
class Suggestion:
    """A configuration and why it was chosen.

    ``info`` is plain JSON: ``origin`` ("model", "random", ...), and where there is a model the
    acquisition value and the predicted mean and standard deviation.
    """

    config: dict[str, JsonValue]
    info: dict[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True)
class Observation:
    """The result of one evaluation; ``loss`` is minimized, inf if the evaluation failed.

    ``losses`` are the values of all objectives where there are several; None if it failed.
    """

    trial_id: int
    config: Configuration
    budget: float
    loss: float
    losses: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Pending:
    """An evaluation that is queued or running."""

    trial_id: int
    config: Configuration
    budget: float


@runtime_checkable
class Optimizer(Protocol):
    """Chooses configurations.

    `ask` does not change the optimizer: the same observations and an equal ``rng`` give the same
    suggestions, however often it is called. Each call gets its own generator, so there is no
    generator state to save; models are fitted in `ask`, so that replaying a journal costs only
    `tell`.
    """

    def ask(
        self, budget: float, pending: Sequence[Pending], rng: np.random.Generator, n: int = 1
    ) -> list[Suggestion]:
        """Return ``n`` configurations to start at ``budget``, given the pending evaluations."""
        ...

    def tell(self, observation: Observation) -> None:
        """Add the observation of a finished evaluation."""
        ...

    def describe(self) -> dict[str, JsonValue]:
        """Return name and settings as JSON: a run is resumed only with an equal description."""
        ...

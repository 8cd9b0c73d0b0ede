"""The port of an optimizer: which configuration next?"""

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
    """What an optimizer is told of one evaluation; ``loss`` is minimized, inf if it failed.

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

    Asking changes nothing: the same data and an equal ``rng`` give the same answer, however
    often one asks. There is no generator to save, because each call gets its own; models are
    fitted when asked, so that replaying a journal costs only `tell`.
    """

    def ask(
        self, budget: float, pending: Sequence[Pending], rng: np.random.Generator, n: int = 1
    ) -> list[Suggestion]:
        """Suggest ``n`` configurations to begin with at ``budget``, knowing what is pending."""
        ...

    def tell(self, observation: Observation) -> None:
        """Take notice of a finished evaluation."""
        ...

    def describe(self) -> dict[str, JsonValue]:
        """Return name and settings as JSON: a run is resumed only with an equal description."""
        ...

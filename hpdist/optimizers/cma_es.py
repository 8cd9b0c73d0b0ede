"""CMA-ES, for spaces of numbers."""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpdist.core.model.errors import ConfigurationError, MissingExtra
from hpdist.core.model.validation import check_seed
from hpdist.core.model.values import JsonValue
from hpdist.core.space.encoding import EncodedSpace
from hpdist.core.space.space import Space
from hpdist.optimizers.base import Observation, Pending, Suggestion

Array = NDArray[np.float64]

#: Initial deviation on scales of length 1. By experiment; a smaller one converges
#: sooner and more locally.
INITIAL_DEVIATION = 0.25
#: Bounds of the initial mean: by experiment, so that most of the first draws are inside the bounds.
MIN_MEAN, MAX_MEAN = 0.2, 0.8
MAX_DRAWS = 50  #: draws among which the first that is not forbidden is suggested


class CMAES:
    """Samples a normal distribution whose mean and covariance adapt to good configurations.

    A generation is as many results at one budget as the population has members, in the order in
    which they arrive, whichever generation suggested them; so it works with stragglers and several
    budgets. A converged distribution is restarted elsewhere with twice the population.

    Needs the package cmaes: ``pip install "hpdist[cmaes]"``.

    Parameters
    ----------
    space
        A space of numbers and ordered values, without conditions.
    seed
        Chooses the initial means.

    Raises
    ------
    MissingExtra
        If the package is not installed.
    ConfigurationError
        If the space has categories or conditions.

    References
    ----------
    Hansen, "The CMA evolution strategy: a tutorial", 2016. Auger and Hansen, "A restart CMA
    evolution strategy with increasing population size", CEC 2005.
    """

    def __init__(self, space: Space, seed: int = 0) -> None:
        self.space = Space.of(space)
        self._encoded_space = EncodedSpace(self.space)
        self._seed = check_seed(seed)
        _check_numeric(self._encoded_space)
        if importlib.util.find_spec("cmaes") is None:
            raise MissingExtra(
                "CMA-ES needs the package cmaes, which is not installed",
                do='pip install "hpdist[cmaes]"',
            )
        self._num_starts = 0
        self._results: dict[float, list[tuple[Array, float]]] = {}
        self._strategy = self._start(population=None)

    def describe(self) -> dict[str, JsonValue]:
        return {"name": "CMAES", "seed": self._seed}

    def tell(self, observation: Observation) -> None:
        (point,) = self.space.encode([observation.config])
        batch = self._results.setdefault(observation.budget, [])
        batch.append((_padded(point), observation.loss))
        if len(batch) == self._strategy.population_size:
            self._strategy.tell(batch)
            del self._results[observation.budget]
            if self._strategy.should_stop():
                self._results.clear()
                self._strategy = self._start(2 * self._strategy.population_size)

    def ask(
        self, budget: float, pending: Sequence[Pending], rng: np.random.Generator, n: int = 1
    ) -> list[Suggestion]:
        strategy = copy.deepcopy(self._strategy)  # `ask` does not change the optimizer
        strategy.reseed_rng(int(rng.integers(2**31)))
        return [self._suggest(strategy, rng) for _ in range(n)]

    def _suggest(self, strategy: Any, rng: np.random.Generator) -> Suggestion:
        num_dimensions = len(self.space.names)
        drawn = np.array([strategy.ask()[:num_dimensions] for _ in range(MAX_DRAWS)])
        snapped, allowed = self._encoded_space.snap(drawn)
        if not allowed.any():
            return Suggestion(self.space.sample(rng), {"origin": "random"})
        point = snapped[int(np.argmax(allowed))]
        info: dict[str, JsonValue] = {
            "origin": "evolution",
            "generation": int(strategy.generation),
            "start": self._num_starts,
        }
        return Suggestion(self._encoded_space.decode(point), info)

    def _start(self, population: int | None) -> Any:
        from cmaes import CMA

        self._num_starts += 1
        num_dimensions = max(len(self.space.names), 2)  # cmaes before 0.12 needs two
        rng = np.random.default_rng([self._seed, self._num_starts])
        return CMA(
            mean=rng.uniform(MIN_MEAN, MAX_MEAN, num_dimensions),
            sigma=INITIAL_DEVIATION,
            bounds=np.tile([0.0, 1.0], (num_dimensions, 1)),
            population_size=population,
            seed=0,
        )


def _padded(point: Array) -> Array:
    """Return a point with a second dimension if it has only one."""
    return np.append(point, 0.5) if len(point) == 1 else point


def _check_numeric(encoded_space: EncodedSpace) -> None:
    names = np.array(encoded_space.space.names)
    if (encoded_space.num_choices > 1).any():
        raise ConfigurationError(
            f"CMA-ES cannot choose categories: {', '.join(names[encoded_space.num_choices > 1])}",
            do="choose another optimizer, such as gp or dehb",
        )
    if np.isnan(encoded_space.sample(np.random.default_rng(0), 200)).any():
        raise ConfigurationError(
            "CMA-ES cannot search a space with conditions",
            do="choose another optimizer, such as gp or dehb",
        )

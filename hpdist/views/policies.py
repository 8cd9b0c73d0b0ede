"""Which of the idle engines gets a task: pure functions.

Each takes the engines to choose from, one or more, and a random generator, and returns one.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Load:
    """The load of an engine, for a policy.

    Attributes
    ----------
    engine
        Number of the engine.
    load
        Seconds of work that it has done.
    used
        Number of the last task that started there, counted over all engines; 0 for none.
    known
        Whether it ran a task that this one follows.
    """

    engine: int
    load: float
    used: int
    known: bool = False


Policy = Callable[[Sequence[Load], random.Random], int]


def leastload(engines: Sequence[Load], rng: random.Random) -> int:
    """Return the engine with the lowest load; of equal ones the one idle longest."""
    return min(engines, key=lambda each: (each.load, each.used)).engine


def lru(engines: Sequence[Load], rng: random.Random) -> int:
    """Return the engine that has been idle longest."""
    return min(engines, key=lambda each: each.used).engine


def plainrandom(engines: Sequence[Load], rng: random.Random) -> int:
    """Return a random engine."""
    return rng.choice(engines).engine


def twobin(engines: Sequence[Load], rng: random.Random) -> int:
    """Return the one of two random engines that has been idle longer."""
    return lru([rng.choice(engines), rng.choice(engines)], rng)


def weighted(engines: Sequence[Load], rng: random.Random) -> int:
    """Return the one with the lower load of two engines, drawn with weights 1 / load."""
    weights = [1.0 / (1e-6 + each.load) for each in engines]
    return leastload(rng.choices(engines, weights, k=2), rng)


def affinity(engines: Sequence[Load], rng: random.Random) -> int:
    """Return an idle engine that ran a task which this one follows; else as `leastload`."""
    return leastload([each for each in engines if each.known] or engines, rng)


POLICIES: dict[str, Policy] = {
    "leastload": leastload,
    "lru": lru,
    "plainrandom": plainrandom,
    "twobin": twobin,
    "weighted": weighted,
    "affinity": affinity,
}

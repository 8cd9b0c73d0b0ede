"""Which of the idle engines gets a task: pure functions.

Each takes the engines that may have it, at least one, and a random generator, and returns one.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Load:
    """An engine as a policy sees it.

    Attributes
    ----------
    engine
        Its number.
    load
        Seconds of work that it has had.
    used
        Number of the last task that started there, counted over all engines; 0 for none.
    known
        Whether it ran what this task goes on from.
    """

    engine: int
    load: float
    used: int
    known: bool = False


Policy = Callable[[Sequence[Load], random.Random], int]


def leastload(engines: Sequence[Load], rng: random.Random) -> int:
    """The one with the least work so far; of equals the one that has waited longest."""
    return min(engines, key=lambda each: (each.load, each.used)).engine


def lru(engines: Sequence[Load], rng: random.Random) -> int:
    """The one that has waited longest."""
    return min(engines, key=lambda each: each.used).engine


def plainrandom(engines: Sequence[Load], rng: random.Random) -> int:
    """Any."""
    return rng.choice(engines).engine


def twobin(engines: Sequence[Load], rng: random.Random) -> int:
    """Of two at random the one that has waited longer."""
    return lru([rng.choice(engines), rng.choice(engines)], rng)


def weighted(engines: Sequence[Load], rng: random.Random) -> int:
    """Of two, drawn with weights that fall with their work, the one with less."""
    weights = [1.0 / (1e-6 + each.load) for each in engines]
    return leastload(rng.choices(engines, weights, k=2), rng)


def affinity(engines: Sequence[Load], rng: random.Random) -> int:
    """One that ran what this task goes on from, if it is idle; else as `leastload`."""
    return leastload([each for each in engines if each.known] or engines, rng)


POLICIES: dict[str, Policy] = {
    "leastload": leastload,
    "lru": lru,
    "plainrandom": plainrandom,
    "twobin": twobin,
    "weighted": weighted,
    "affinity": affinity,
}

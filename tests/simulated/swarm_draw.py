"""What goes wrong in one simulated run: drawn from its seed, so that some runs lack some faults.

Swarm testing: runs in which everything goes wrong at once find less than runs of many mixtures.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from hpdist.core.model.limits_and_timing import Limits
from hpdist.multi_fidelity import (
    Asha,
    Hyperband,
    IterGenerator,
    SingleFidelity,
    SuccessiveHalving,
)
from hpdist.testing.simulate import Faults

#: One run in so many has one worker that does not fail, and is compared with an undisturbed run.
#: As many have several workers that do not fail, so that work that is done twice is noticed.
SERIAL_EVERY = 5


@dataclass(frozen=True)
class Swarm:
    """The mixture of one run.

    Attributes
    ----------
    deaths
        How many masters end before their time.
    machine, second
        Of these, which share takes the machine along, and how many stay frozen instead while
        another master is started.
    bad_calls
        Shares of writes and syncs that fail with EIO, for as long as ``bad_budget`` lasts.
    full_every_s
        Mean seconds between times at which the disk is full.
    commands
        What an operator does, and when.
    """

    seed: int
    workers: int = 1
    slots: int = 1
    prefetch: int = 0
    ahead: int = 0
    faults: Faults = field(default_factory=Faults)
    crashes: float = 0.0
    raises: float = 0.0
    deaths: int = 0
    looks_between: float = 20.0
    calls_between: float = 60.0
    machine: float = 0.0
    second: float = 0.0
    away_s: float = 1.0
    bad_calls: float = 0.0
    bad_budget: int = 0
    full_every_s: float = math.inf
    clock_jump_every_s: float = math.inf
    sync_every: int = 1
    commands: tuple[tuple[float, str], ...] = ()

    @property
    def serial(self) -> bool:
        return self.seed % SERIAL_EVERY == 0

    @property
    def kind(self) -> int:
        """Which generator and limits."""
        return self.seed // SERIAL_EVERY % 4

    @property
    def quiet(self) -> bool:
        """Whether the workers do nothing that could make an evaluation happen twice."""
        faults = self.faults
        healthy = math.isinf(faults.kill_every_s) and math.isinf(faults.freeze_every_s)
        certain = faults.lost == 0 and self.sync_every == 1
        return healthy and certain and not self.second and "stop" not in self.told

    @property
    def told(self) -> set[str]:
        return {command for _, command in self.commands}

    def generator(self) -> tuple[IterGenerator, Limits]:
        return (
            (Hyperband(1, 4, eta=2), Limits(n_iterations=2)),
            (SuccessiveHalving(1, 4, eta=2), Limits(n_iterations=2)),
            (Asha(1, 4, eta=2), Limits(n_trials=8)),
            (SingleFidelity(), Limits(n_evaluations=12)),
        )[self.kind]


def draw(seed: int) -> Swarm:
    """Draw the mixture of a seed."""
    rng = np.random.default_rng([seed, 1])

    def often(share: float = 0.5) -> bool:
        return bool(rng.random() < share)

    def between(low: float, high: float) -> float:
        return float(np.exp(rng.uniform(np.log(low), np.log(high))))

    master = {
        "deaths": int(rng.integers(1, 7)) if often(0.9) else 0,
        "looks_between": between(2, 40),
        "calls_between": between(5, 200),
        "machine": float(rng.random()) if often() else 0.0,
        "away_s": between(0.1, 60) if often(0.3) else 1.0,
        "bad_calls": between(0.003, 0.1) if often(0.4) else 0.0,
        "bad_budget": int(rng.integers(1, 5)),
        "full_every_s": between(5, 60) if often(0.4) else math.inf,
        "clock_jump_every_s": between(5, 60) if often(0.3) else math.inf,
        "sync_every": (2 + seed % 3) if seed % 7 == 0 else 1,
    }
    second = float(rng.random()) if often(0.3) else 0.0
    delay_s = between(0.01, 2.0)
    if seed % SERIAL_EVERY == 0:
        return Swarm(seed, faults=Faults(delay_s=delay_s), second=second, **master)
    ill = 0.0 if seed % SERIAL_EVERY == 1 else 0.5
    faults = Faults(
        delay_s=delay_s,
        lost=between(0.01, 0.2) if often(ill) else 0.0,
        doubled=between(0.01, 0.3) if often() else 0.0,
        kill_every_s=between(8, 100) if often(ill) else math.inf,
        freeze_every_s=between(10, 100) if often(ill) else math.inf,
        freeze_s=between(5, 80),
    )
    return Swarm(
        seed,
        workers=int(rng.integers(1, 5)),
        slots=int(rng.integers(1, 3)),
        prefetch=int(rng.integers(0, 3)),
        ahead=int(rng.integers(1, 4)) if often(0.25) else 0,
        faults=faults,
        crashes=between(0.02, 0.5) if often(0.4) else 0.0,
        raises=between(0.02, 0.4) if often(0.4) else 0.0,
        second=second if ill else 0.0,
        commands=_commands(rng) if often() else (),
        **master,
    )


def _commands(rng: np.random.Generator) -> tuple[tuple[float, str], ...]:
    words = ("pause", "drain", "stop", "retry", "extend", "cancel")
    return tuple(
        (float(rng.uniform(1, 60)), str(rng.choice(words))) for _ in range(rng.integers(1, 5))
    )

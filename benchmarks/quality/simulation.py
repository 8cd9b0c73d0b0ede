"""One search in simulated time: workers are a heap of finishing times."""

from __future__ import annotations

import heapq
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from benchmarks.quality.problem import Configuration, Problem
from hpdist.core.objective.pareto import hypervolume

Clock = Callable[[np.random.Generator], float]
DURATIONS: dict[str, Clock] = {
    "fixed": lambda rng: 1.0,
    "lognormal": lambda rng: math.exp(0.5 * rng.standard_normal()),
    "pareto": lambda rng: (1.0 + rng.pareto(1.5)) / 3.0,  # mean 1, without a variance
}
"""How long an evaluation takes, as a multiple of its budget's share of the highest."""


@dataclass(frozen=True)
class Job:
    key: int
    config: Configuration
    budget: float


class Searcher(Protocol):
    """What is compared: hpdist, or a peer."""

    def ask(self) -> Job | None:
        """Return the next evaluation, or None while there is none before another `tell`."""
        ...

    def tell(self, job: Job, loss: Any) -> None: ...

    def close(self) -> None: ...


@dataclass
class Incumbent:
    """The lowest loss observed at the highest budget reached so far, scored without noise."""

    problem: Problem
    budget: float = 0.0
    observed: float = math.inf
    truth: float = math.nan

    def add(self, job: Job, loss: float) -> None:
        higher = job.budget > self.budget * 1.0001
        if higher or (job.budget > self.budget * 0.9999 and loss < self.observed):
            self.budget, self.observed = max(job.budget, self.budget), loss
            self.truth = self.problem.truth(job.config)


@dataclass
class Front:
    """The front of what was evaluated, scored by minus its hypervolume without noise."""

    problem: Problem
    points: list[Any] = field(default_factory=list)
    truth: float = 0.0

    def add(self, job: Job, loss: Any) -> None:
        self.points.append(self.problem.truth(job.config))
        self.truth = -hypervolume(np.array(self.points), self.problem.reference)


@dataclass(frozen=True)
class Trace:
    """What came of a search.

    Attributes
    ----------
    scores
        Noise-free loss of the incumbent at each checkpoint.
    num_evaluations
        How many there were.
    seconds
        Processor time of asking and telling, all evaluations together.
    idle
        Share of the workers' time in which they had nothing to do.
    """

    scores: tuple[float, ...]
    num_evaluations: int
    seconds: float
    idle: float = 0.0


@dataclass
class _Run:
    searcher: Searcher
    problem: Problem
    workers: int
    duration: Clock
    rng: np.random.Generator
    free: int = 0
    now: float = 0.0
    busy: float = 0.0
    seconds: float = 0.0
    count: int = 0
    running: list[tuple[float, int, Job]] = field(default_factory=list)

    def start_all(self) -> None:
        while self.free:
            started = time.process_time()
            job = self.searcher.ask()
            self.seconds += time.process_time() - started
            if job is None:
                break
            length = job.budget / self.problem.highest * self.duration(self.rng)
            self.free -= 1
            self.count += 1
            heapq.heappush(self.running, (self.now + length, self.count, job))

    def finish_next(self) -> tuple[Job, Any]:
        at, _, job = heapq.heappop(self.running)
        self.busy += (at - self.now) * (self.workers - self.free)
        self.now, self.free = at, self.free + 1
        loss = self.problem.loss(job.config, job.budget, self.rng)
        started = time.process_time()
        self.searcher.tell(job, loss)
        self.seconds += time.process_time() - started
        return job, loss


def simulate(
    searcher: Searcher,
    problem: Problem,
    checkpoints: tuple[float, ...],
    *,
    workers: int = 1,
    durations: str = "fixed",
    seed: int = 0,
) -> Trace:
    """Search until the last checkpoint, in evaluations at the highest budget for each worker.

    Raises
    ------
    RuntimeError
        If the searcher has nothing to do though nothing is running.
    """
    rng = np.random.default_rng([seed, 77])
    run = _Run(searcher, problem, workers, DURATIONS[durations], rng, free=workers)
    incumbent = Front(problem) if problem.reference else Incumbent(problem)
    scores: list[float] = []
    finished = 0
    while True:
        run.start_all()
        if not run.running:
            raise RuntimeError(f"nothing is proposed on {problem.name}, and nothing is running")
        while run.running[0][0] > checkpoints[len(scores)] + 1e-9:
            scores.append(incumbent.truth)
            if len(scores) == len(checkpoints):
                idle = 1.0 - run.busy / max(run.now * workers, 1e-12)
                return Trace(tuple(scores), finished, run.seconds, idle)
        incumbent.add(*run.finish_next())
        finished += 1

"""The search that is simulated: a touchy optimizer, a true loss, and states as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from swarm_draw import Swarm

from hpdist.core.dispatch.state import DispatchState
from hpdist.core.model.events import RunCreated
from hpdist.core.model.payload import Payload
from hpdist.core.model.states import FailureKind
from hpdist.core.model.values import Failure, JsonValue, Outcome, Success
from hpdist.core.space.space import Space
from hpdist.core.study.study import Study
from hpdist.optimizers import Observation, Pending, Suggestion

SPACE = Space.of({"x": (-1.0, 1.0)})


class Touchy:
    """An optimizer whose answers depend on all that it was told and asked, to the last bit."""

    def __init__(self) -> None:
        self.told: list[Observation] = []

    def ask(
        self, budget: float, pending: Sequence[Pending], rng: np.random.Generator, n: int = 1
    ) -> list[Suggestion]:
        known = sum(seen.loss for seen in self.told if seen.loss < float("inf"))
        known += sum((number + 1) * seen.trial_id for number, seen in enumerate(self.told))
        known += sum(open_one.config["x"] * open_one.budget for open_one in pending)
        return [Suggestion({"x": float(np.sin(known + rng.normal()))}) for _ in range(n)]

    def tell(self, observation: Observation) -> None:
        self.told.append(observation)

    def describe(self) -> dict[str, JsonValue]:
        return {"name": "Touchy"}


def make_study(swarm: Swarm, header: RunCreated | None = None) -> Study:
    generator, limits = swarm.generator()
    return Study(SPACE, generator, Touchy(), limits=limits, seed=swarm.seed)


def true_loss(config: dict[str, JsonValue], budget: float) -> float:
    """What evaluating ``config`` must give, whoever does it and whenever."""
    return float(config["x"]) ** 2 + 1.0 / budget


def evaluation(swarm: Swarm) -> Any:
    """What an attempt comes to in this run, and how long it takes."""

    def evaluate(payload: Payload, rng: np.random.Generator) -> tuple[Outcome, float]:
        seconds = float(payload.budget * rng.lognormal(0.0, 0.5))
        chance = rng.random()
        if chance < swarm.crashes:
            return Failure(FailureKind.CRASH, "killed by SIGSEGV"), seconds / 2
        if chance < swarm.crashes + swarm.raises:
            return Failure(FailureKind.EXCEPTION, "ValueError: no"), seconds / 2
        return Success(true_loss(payload.config, payload.budget)), seconds

    return evaluate


def study_state(study: Study) -> str:
    """All that lasts of a study, as text that is equal only if it is equal."""
    table = study.table
    assert isinstance(study.optimizer, Touchy)
    return repr(
        (
            [vars(entry) for entry in table.jobs],
            table.trials,
            table.pending,
            (table.total_cost, table.best and table.best.job.job_id),
            [sorted(vars(bracket).items()) for bracket in study.brackets if _plain(bracket)],
            (study.n_results, study.limits, study.retryable()),
            study.optimizer.told,
        )
    )


def _plain(bracket: Any) -> bool:
    """Whether a bracket has no parts whose text is their address."""
    return type(bracket).__name__ == "HalvingBracket"


def book_state(book: DispatchState) -> str:
    """All that lasts of a book; leases, connections and back-off are of one process only."""
    jobs = {
        job_id: vars(entry) | {"failed": sorted(str(kind) for kind in entry.failed.elements())}
        for job_id, entry in book.jobs.items()
    }
    workers = {name: (worker.info, worker.assigned) for name, worker in book.workers.items()}
    return repr((jobs, workers, list(book.jobs.queue), book.paused))

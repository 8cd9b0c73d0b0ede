"""A serial search that is killed again and again, and once is not: run by a test.

Each life of the run is a fork of this process, which has imported everything, and ends by SIGKILL
at a moment that is chosen beforehand.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hpdist import Context, minimize
from hpdist.core.journal.disk import Disk
from hpdist.core.model.orders import (
    Acknowledge,
    Launch,
    Order,
)
from hpdist.core.space.space import Space
from hpdist.executors.serial import SerialExecutor
from hpdist.multi_fidelity import Hyperband
from hpdist.optimizers import Observation, Suggestion

SPACE = {"x": (-1.0, 1.0), "k": (1, 8), "kind": ["a", "b"]}
FAILPOINTS = ("write", "torn", "written", "synced", "launch", "answered", "acknowledge")


class Climber:
    """Moves the best configuration known a little, so that each choice depends on all data."""

    def __init__(self) -> None:
        self.best = (float("inf"), -1, {"x": 0.0, "k": 1, "kind": "a"})
        self.told = 0

    def ask(self, budget: float, pending: Any, rng: np.random.Generator, n: int = 1) -> list[Any]:
        config = self.best[2]
        step = float(rng.normal()) / (1 + self.told)
        moved = {
            "x": min(1.0, max(-1.0, config["x"] + step)),
            "k": int(rng.integers(1, 9)),
            "kind": "ab"[int(rng.integers(2))],
        }
        return [Suggestion(moved, {"told": self.told, "pending": len(pending)})] * n

    def tell(self, observation: Observation) -> None:
        self.told += 1
        rank = (observation.loss, observation.trial_id, dict(observation.config))
        self.best = min(self.best, rank, key=lambda known: known[:2])

    def describe(self) -> dict[str, Any]:
        return {"name": "Climber"}


class Death:
    """Kills this process when the moment ``kind`` comes for the ``count``-th time."""

    def __init__(self, kind: str, count: int) -> None:
        self.kind, self.left = kind, count

    def at(self, kind: str) -> bool:
        """Whether it is time, for those who have something to do before."""
        self.left -= kind == self.kind
        return kind == self.kind and self.left == 0

    def strike(self, kind: str) -> None:
        if self.at(kind):
            os.kill(os.getpid(), signal.SIGKILL)


def install(death: Death) -> None:
    """Put failpoints around what is written, made durable, launched and acknowledged."""
    write, sync, perform = Disk.write, Disk.sync_data, SerialExecutor.perform

    def dying_write(disk: Disk, fd: int, data: bytes) -> int:
        if b'{"kind"' not in data[:40]:
            return write(disk, fd, data)  # no record
        death.strike("write")
        if death.at("torn"):
            write(disk, fd, data[: len(data) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        done = write(disk, fd, data)
        death.strike("written")
        return done

    def dying_sync(disk: Disk, fd: int) -> None:
        sync(disk, fd)
        death.strike("synced")

    def dying_perform(executor: SerialExecutor, orders: Sequence[Order]) -> None:
        for kind, order in (("launch", Launch), ("acknowledge", Acknowledge)):
            if any(isinstance(each, order) for each in orders):
                death.strike(kind)
        perform(executor, orders)
        if any(isinstance(each, Launch) for each in orders):
            death.strike("answered")

    Disk.write, Disk.sync_data = dying_write, dying_sync  # type: ignore[method-assign]
    SerialExecutor.perform = dying_perform  # type: ignore[method-assign]


def search(run: Path, death: Death) -> None:
    def objective(config: dict[str, Any], budget: float, ctx: Context) -> dict[str, Any]:
        death.strike("evaluation")
        noise = float(np.random.default_rng(ctx.seed).normal()) / budget
        loss = config["x"] ** 2 + config["k"] / 8 + (config["kind"] == "b") + noise
        with (run.parent / f"{run.name}-evaluated").open("a") as file:
            file.write(f"{config} {budget}\n")
        if loss > 2.0:
            raise ValueError(f"{loss} is hopeless")
        return {"loss": loss, "info": {"seed": ctx.seed}}

    install(death)
    minimize(
        objective,
        SPACE,
        iter_generator=Hyperband(1, 27),
        optimizer=Climber(),
        executor="serial",
        run=run,
        progress="none",
    )


def live(life: Callable[[], None]) -> int:
    """Let a fork of this process live; return its exit status, negative for a signal."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            life()
            status = 0
        finally:
            sys.stderr.flush()
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def moments(number: int) -> list[Death]:
    """Half of them in evaluations, the other half at the failpoints in turn."""
    rng = np.random.default_rng(number)
    deaths = []
    for index in range(number):
        kind = "evaluation" if index % 2 else FAILPOINTS[index // 2 % len(FAILPOINTS)]
        deaths.append(Death(kind, 1 + int(rng.integers(3))))
    return deaths


def main(directory: Path, number: int) -> None:
    directory.mkdir(exist_ok=True)
    Space.of(SPACE)  # imports what is slow to import, once for all lives
    assert live(lambda: search(directory / "whole", Death("never", 0))) == 0
    statuses = []
    for death in moments(number):
        statuses.append((death.kind, live(lambda death=death: search(directory / "killed", death))))
    last = live(lambda: search(directory / "killed", Death("never", 0)))
    sys.stdout.write(json.dumps({"killed": statuses, "last": last}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))

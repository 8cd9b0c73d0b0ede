"""The master is killed at each moment, and goes on at once or after a while."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from functools import partial

from matrix import Figures, Row
from stage import TIMING, Actor, Stage

Scene = Callable[[Stage, random.Random], Actor]
"""Brings a master to its moment and kills it, or waits for its death; returns that master."""


class Workers:
    """A dozen jobs and three workers, one of them held at a point."""

    def __init__(self, stage: Stage, rng: random.Random, point: str = "") -> None:
        self.jobs = rng.randint(6, 12)
        if rng.random() < 0.5:
            stage.nameserver()
            self.master = stage.master(jobs=self.jobs, nameserver=False)
        else:
            self.master = stage.master(jobs=self.jobs)
        if point:
            stage.hold("held", point)
        self.held = stage.worker(label="held")
        self.others = [stage.worker(isolation=rng.choice(["none", "process"])) for _ in "ab"]


def before_register(stage: Stage, rng: random.Random) -> Actor:
    workers = Workers(stage, rng, "M1")
    stage.wait_at("held", "M1")
    stage.begin(workers=2)
    stage.wait_until(lambda: stage.finished() >= 1, "a result")
    stage.close_gate()  # the next master is not to be done before the third worker knows it
    stage.kill(workers.master)
    return workers.master


def idle(stage: Stage, rng: random.Random) -> Actor:
    workers = Workers(stage, rng)
    stage.wait_workers(3)
    stage.kill(workers.master)
    return workers.master


def at_a_point(point: str, stage: Stage, rng: random.Random) -> Actor:
    workers = Workers(stage, rng, point)
    stage.begin(workers=3)
    stage.wait_at("held", point)
    stage.kill(workers.master)
    return workers.master


def running(stage: Stage, rng: random.Random) -> Actor:
    workers = Workers(stage, rng)
    stage.close_gate()
    stage.begin(workers=3)
    for worker in (workers.held, *workers.others):
        stage.wait_held(worker)
    stage.kill(workers.master)
    return workers.master


def draining(stage: Stage, rng: random.Random) -> Actor:
    workers = Workers(stage, rng)
    stage.close_gate()
    stage.begin(workers=3)
    stage.wait_held(workers.held)
    stage.control("drain", reason="enough")
    stage.kill(workers.master)
    return workers.master


def at_a_commit(kind: str, when: str, stage: Stage, rng: random.Random) -> Actor:
    """It kills itself before, within or after a write to its journal."""
    workers = Workers(stage, rng)
    stage.wait_workers(3)
    # Whole or not at all: the master looks for it at each commit.
    written = stage.file("die.new")
    written.write_text(json.dumps([kind, when, rng.randint(1, 2)]))
    written.replace(stage.file("die"))
    stage.begin()
    workers.master.wait(60)
    assert workers.master.returncode == -9, stage.outputs()
    return workers.master


def killed(scene: Scene, stage: Stage, rng: random.Random) -> Figures:
    """Nothing is evaluated again, whoever finishes it, and whenever the next master comes."""
    former = scene(stage, rng)
    own_nameserver = not stage.actors[0].args[1].endswith("nameserver.py")  # type: ignore[index]
    away_s = rng.choice([0.0, 0.0, rng.uniform(0.5, 2.0) * TIMING["lease_s"]])
    time.sleep(away_s)
    began = time.time()
    for file in stage.directory.glob("hold-*"):
        file.unlink()
    master = stage.master(nameserver=own_nameserver)
    assert former.poll() is not None
    back = stage.wait_until(
        lambda: len([r for r in stage.journal("worker") if r["state"] == "returned"]) >= 2,
        "the return of the workers",
    )
    # Two may do all that is left before the third is back.
    stage.wait_until(lambda: len(stage.joined()) >= 3 or stage.journal("ended"), "3 workers")
    figures = {"away s": away_s, "workers back s": time.time() - began} if back else {}
    stage.finish(master)
    return figures


KEPT = "exactly one record each, no evaluation repeated, on any worker"
ROWS = [
    Row("SIGKILL master, restart", moment, KEPT, partial(killed, scene))
    for moment, scene in {
        "M1 before it registers": before_register,
        "M2 idle": idle,
        "M3 recorded, not given": partial(at_a_commit, "start", "after"),
        "M3 assigned, not started": partial(at_a_point, "M3"),
        "M4 running": running,
        "M5 outcome not sent": partial(at_a_point, "M5"),
        "M6 sent, not recorded": partial(at_a_commit, "done", "before"),
        "M6 recorded, not acked": partial(at_a_commit, "done", "after"),
        "M7 acknowledged": partial(at_a_point, "M7"),
        "M8 half of a record written": partial(at_a_commit, "done", "half"),
        "M9 draining": draining,
    }.items()
]

"""The nameserver goes away and comes back; or two masters want one run."""

from __future__ import annotations

import os
import random
import time
from functools import partial

from matrix import Figures, Row
from stage import RUN, Stage

JOIN_S = 15.0


def nameserver(is_running: bool, stage: Stage, rng: random.Random) -> Figures:
    """Whoever has found the run goes on without it; a newcomer joins once it is back."""
    server = stage.nameserver()
    jobs = rng.randint(16, 24)
    master = stage.master(jobs=jobs, nameserver=False)
    workers = [stage.worker() for _ in "ab"]
    stage.wait_workers(2)
    if is_running:
        stage.close_gate()
        stage.begin()
        for worker in workers:
            stage.wait_held(worker)
    stage.kill(server)
    newcomer = stage.worker()
    stage.open_gate()
    stage.begin()
    stage.wait_until(lambda: stage.finished() >= jobs // 2, "half of the results, without it")
    stage.close_gate()
    began = time.time()
    stage.nameserver()
    joined = stage.wait_until(
        lambda: [
            record["at"]
            for record in stage.journal("worker")
            if record["worker"]["worker_id"].endswith(newcomer.label)
        ],
        "the newcomer",
        JOIN_S + 10,
    )[0]
    assert joined - began <= JOIN_S, f"it joined after {joined - began:g} s"
    stage.finish(master)
    return {"newcomer s": joined - began}


def both_at_start(stage: Stage, rng: random.Random) -> Figures:
    stage.nameserver()
    masters = [stage.master(jobs=8, nameserver=False) for _ in "ab"]
    stage.worker()
    stage.wait_until(lambda: any(not master.alive for master in masters), "a refusal")
    refused, serving = sorted(masters, key=lambda master: master.alive)
    assert serving.alive
    assert refused.returncode == 1
    assert "is locked" in stage.outputs()
    stage.finish(serving)
    return {}


def second_while_running(stage: Stage, rng: random.Random) -> Figures:
    stage.nameserver()
    first = stage.master(jobs=8, nameserver=False)
    workers = [stage.worker() for _ in "ab"]
    stage.close_gate()
    stage.begin(workers=2)
    for worker in workers:
        stage.wait_held(worker)
    second = stage.master(nameserver=False)
    assert second.wait(30) == 1
    assert "is locked" in stage.outputs()
    stage.finish(first)
    return {}


def lock_removed(stage: Stage, rng: random.Random) -> Figures:
    """Somebody removed the lock: one of the two goes on, and nothing is doubled.

    Which one depends on whether the nameserver can tell the second of the first.
    """
    server = stage.nameserver()
    first = stage.master(jobs=12, nameserver=False)
    workers = [stage.worker() for _ in "ab"]
    stage.close_gate()
    stage.begin(workers=2)
    for worker in workers:
        stage.wait_held(worker)
    knows = rng.random() < 0.5
    if not knows:
        stage.kill(server)
    os.unlink(stage.directory / RUN / "lock")
    second = stage.master(nameserver=False)
    if knows:
        assert second.wait(30) == 1
        assert "has a master already" in stage.outputs()
        stage.finish(first)
        return {}
    stage.wait_until(lambda: len(stage.journal("resumed")) == 2, "the second master")
    stage.open_gate()
    assert first.wait(30) == 1
    assert "changed by another writer" in stage.outputs()
    stage.nameserver()
    stage.finish(second, repeats=2)
    return {}


SERVER = "SIGKILL nameserver, restart"
JOINS = "all goes on; a newcomer joins <= 15 s after it is back"
TWO = "two masters of one run"
ROWS = [
    Row(SERVER, "M2 idle", JOINS, partial(nameserver, False)),
    Row(SERVER, "M4 running", JOINS, partial(nameserver, True)),
    Row(TWO, "at start", "the second is refused", both_at_start),
    Row(TWO, "M4 running", "the second is refused", second_while_running),
    Row(TWO, "M4, lock file removed", "one of them stops, nothing is doubled", lock_removed),
]

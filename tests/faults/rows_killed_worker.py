"""A worker is killed at each moment of its life, or the child that evaluates for it."""

from __future__ import annotations

import os
import random
import signal
import time
from functools import partial

from matrix import Figures, Row
from stage import TIMING, Actor, Stage

#: How many evaluations the death at each point of the conversation may cost.
REPEATS = {"M3": 0, "M5": 1, "M6": 0, "M7": 0}

#: Beyond the patience itself: a machine may be busy.
SLACK_S = 4.0


def in_time(stage: Stage, job: int, killed_at: float) -> Figures:
    """Wait until a job is queued again, and say after how many seconds that was."""
    requeued: float = stage.wait_requeued(job)["at"] - killed_at
    assert requeued <= TIMING["closed_s"] + SLACK_S, f"queued again after {requeued:g} s"
    return {"queued again s": requeued}


def given_to(stage: Stage, worker: Actor) -> int:
    """The newest job that was handed to this worker."""
    jobs = [r["job_id"] for r in stage.journal("start") if r["worker_id"].endswith(worker.label)]
    return int(jobs[-1])


def before_register(stage: Stage, rng: random.Random) -> Figures:
    master = stage.master(jobs=rng.randint(4, 12))
    stage.hold("victim", "M1")
    victim = stage.worker(label="victim")
    stage.worker()
    stage.wait_at("victim", "M1")
    stage.begin(workers=1)
    stage.wait_until(lambda: stage.finished() >= rng.randint(0, 3), "some results")
    stage.kill(victim)
    stage.finish(master)
    assert "victim" not in str(stage.journal("worker"))
    return {}


def idle(stage: Stage, rng: random.Random) -> Figures:
    master = stage.master(jobs=rng.randint(4, 12))
    victim, _ = stage.worker(label="victim"), stage.worker()
    stage.wait_workers(2)
    killed_at = stage.kill(victim)
    if rng.random() < 0.5:  # else it is given a job before it is known to be dead
        stage.wait_until(lambda: len(stage.joined()) == 1, "the loss of the worker")
    stage.begin()
    lost = stage.wait_until(
        lambda: [r for r in stage.journal("worker") if r["state"] == "lost"], "its loss"
    )
    stage.finish(master)
    return {"given up s": lost[0]["at"] - killed_at}


def at_a_point(point: str, stage: Stage, rng: random.Random) -> Figures:
    """Killed while its conversation is held."""
    master = stage.master(jobs=rng.randint(4, 12))
    stage.hold("victim", point)
    victim, _ = stage.worker(label="victim"), stage.worker()
    stage.begin(workers=2)
    stage.wait_at("victim", point)
    job = given_to(stage, victim)
    killed_at = stage.kill(victim)
    figures = in_time(stage, job, killed_at) if point in ("M3", "M5") else {}
    stage.finish(master, repeats=REPEATS[point])
    if point in ("M6", "M7"):
        ended = [line for line in stage.log("end") if line["label"] == "victim"]
        assert len(ended) == 1
        assert stage.wait_final(stage.job_of(ended[0]))["attempt"] == ended[0]["attempt"]
    return figures


def running(stage: Stage, rng: random.Random) -> Figures:
    master = stage.master(jobs=rng.randint(4, 12))
    isolation = rng.choice(["none", "process"])
    victim, _ = stage.worker(label="victim", isolation=isolation), stage.worker()
    stage.close_gate(victim)
    stage.begin(workers=2)
    line = stage.wait_held(victim)
    figures = in_time(stage, stage.job_of(line), stage.kill(victim))
    if isolation == "process":
        stage.wait_until(lambda: not is_running(line["pid"]), "the end of its child", 10)
    stage.finish(master, repeats=1)
    return figures


def while_draining(stage: Stage, rng: random.Random) -> Figures:
    master = stage.master(jobs=rng.randint(4, 12))
    victim, _ = stage.worker(label="victim"), stage.worker()
    stage.close_gate()
    stage.begin(workers=2)
    line = stage.wait_held(victim)
    stage.control("drain", reason="enough")
    killed_at = stage.kill(victim)
    stage.open_gate()
    figures = in_time(stage, stage.job_of(line), killed_at)
    assert master.wait(30) == 0
    assert stage.journal("ended")[-1]["reason"] == "stopped"
    again = stage.master()
    stage.worker()
    stage.finish(again, repeats=1)
    return figures


def only_the_child(stage: Stage, rng: random.Random) -> Figures:
    """Each time the other worker is free, and takes the job; both live."""
    master = stage.master(jobs=1)
    workers = {worker.pid: worker for worker in (stage.worker(isolation="process") for _ in "ab")}
    stage.close_gate()
    stage.begin(workers=2)
    (first,) = stage.wait_until(stage.held, "an evaluation")
    os.kill(first["pid"], signal.SIGKILL)
    killed_at = time.time()
    crash = stage.wait_requeued(0)
    assert crash["outcome"]["failure"] == "crash", crash
    (second,) = stage.wait_until(
        lambda: [line for line in stage.held() if line["attempt"] == 2], "a second attempt"
    )
    assert second["worker"] != first["worker"], "it was tried where it had just crashed"
    os.kill(second["pid"], signal.SIGKILL)
    (third,) = stage.wait_until(
        lambda: [line for line in stage.held() if line["attempt"] == 3], "a third attempt"
    )
    assert third["worker"] == first["worker"], "its worker did not live"
    assert third["pid"] != first["pid"]
    assert all(worker.alive for worker in workers.values())
    stage.finish(master, repeats=2)
    assert not [r for r in stage.journal("worker") if r["state"] == "lost"]
    return {"queued again s": crash["at"] - killed_at}


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


WORKER = "SIGKILL worker"
SOON = "queued again <= 10 s after the connection was closed (here: 1 s); nothing doubled"
ROWS = [
    Row(WORKER, "M1 before it registers", "nothing happens", before_register),
    Row(WORKER, "M2 idle", "given up; what it was given meanwhile goes to others", idle),
    Row(WORKER, "M3 assigned, not started", SOON, partial(at_a_point, "M3")),
    Row(WORKER, "M4 running", SOON, running),
    Row(WORKER, "M5 outcome not sent", SOON, partial(at_a_point, "M5")),
    Row(WORKER, "M6 sent, ack not read", "one record, no repeat", partial(at_a_point, "M6")),
    Row(WORKER, "M7 acknowledged", "one record, no repeat", partial(at_a_point, "M7")),
    Row(WORKER, "M9 draining", "the drain ends; a resume repeats that job only", while_draining),
    Row(
        "SIGKILL child", "M4 running", "a crash, retried elsewhere; the worker lives",
        only_the_child,
    ),
]  # fmt: skip

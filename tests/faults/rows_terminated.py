"""A worker or a master is asked to go (SIGTERM), as batch systems do before they kill."""

from __future__ import annotations

import random
import signal
import time
from functools import partial

from matrix import Figures, Row
from stage import SCRIPTS, TIMING, Actor, Stage

WITHIN_S = 10.0

#: Exit codes of a master that was asked to go: all was done, or it can be gone on with.
DONE, RESUMABLE = 0, 4


def no_strike(stage: Stage) -> None:
    assert not [r for r in stage.journal("done") if "failure" in (r["outcome"] or {})]
    assert not [r for r in stage.journal("worker") if r["state"] == "lost"]


def scene(stage: Stage, rng: random.Random, point: str = "") -> tuple[Actor, Actor]:
    """A master, a worker to be asked to go, begun by the command line, and another one."""
    master = stage.master(jobs=rng.randint(6, 12))
    if point:
        stage.hold("leaver", point)
    isolation = rng.choice(["none", "process"]) if point else "process"
    leaver = stage.worker(label="leaver", cli=["--isolation", isolation])
    stage.worker()
    return master, leaver


def idle_worker(stage: Stage, rng: random.Random) -> Figures:
    master, leaver = scene(stage, rng)
    # as it sees it: what it is told while it is being welcomed is another matter
    stage.wait_until(lambda: stage.outputs().count("joined run") == 2, "two workers")
    code, seconds = stage.end(leaver, signal.SIGTERM, WITHIN_S)
    assert code == 0
    stage.finish(master)
    no_strike(stage)
    return {"exit s": seconds}


def busy_worker(draining: bool, stage: Stage, rng: random.Random) -> Figures:
    master, leaver = scene(stage, rng)
    stage.close_gate(leaver)
    stage.begin(workers=2)
    job = stage.job_of(stage.wait_held(leaver))
    if draining:
        leaver.send_signal(signal.SIGINT)
        stage.wait_until(lambda: "finishing running evaluations" in stage.outputs(), "its drain")
    code, seconds = stage.end(leaver, signal.SIGTERM, WITHIN_S)
    assert code == 0
    assert stage.wait_requeued(job)["outcome"] is None
    stage.finish(master, repeats=1)
    no_strike(stage)
    return {"exit s": seconds}


def worker_at_a_point(point: str, stage: Stage, rng: random.Random) -> Figures:
    """What it was given goes back; an outcome that it has is handed in before it goes."""
    master, leaver = scene(stage, rng, point)
    stage.begin(workers=2)
    stage.wait_at("leaver", point)
    leaver.send_signal(signal.SIGTERM)
    time.sleep(rng.choice([0.0, rng.uniform(0.0, 0.5)]))  # before or after it has heard of it
    stage.release("leaver", point)
    began = time.monotonic()
    assert leaver.wait(WITHIN_S) == 0
    seconds = time.monotonic() - began
    stage.finish(master)
    no_strike(stage)
    return {"exit s": seconds}


def preempted(stage: Stage, rng: random.Random) -> Figures:
    """The objective cannot be interrupted, and the batch system does not wait."""
    jobs = rng.randint(6, 10)
    master = stage.master(jobs=jobs)
    leaver = stage.worker(label="leaver", cli=["--isolation", "none"])
    stage.close_gate(leaver)
    stage.begin(workers=1)
    job = stage.job_of(stage.wait_held(leaver))
    stage.worker()
    leaver.send_signal(signal.SIGTERM)
    asked_at = time.time()
    time.sleep(rng.uniform(0.5, 2.0))  # the grace
    stage.kill(leaver)
    requeued = stage.wait_requeued(job)["at"] - asked_at
    assert requeued <= 2.0 + TIMING["closed_s"] + 4.0
    stage.finish(master, repeats=1)
    return {"queued again s": requeued}


def cli_master(stage: Stage, jobs: int) -> Actor:
    stage.jobs = jobs
    timing = ["--lease", "3s", "--heartbeat", "0.5s", "--closed", "1s"]
    objective = f"{SCRIPTS / 'objective.py'}:evaluate"
    return stage.start("cli", "master", objective, "--run", "run", "--trials", str(jobs), *timing)


def terminated_master(moment: str, stage: Stage, rng: random.Random) -> Figures:
    """It exits so that it can be gone on with, and what runs is kept by its workers."""
    jobs = rng.randint(8, 12)
    stage.nameserver()
    master = cli_master(stage, jobs)
    workers = [stage.worker() for _ in "ab"]
    stage.close_gate()
    stage.wait_until(lambda: len(stage.held()) == 2, "two evaluations")
    if moment == "draining":
        master.send_signal(signal.SIGINT)
    code, seconds = stage.end(master, signal.SIGTERM, WITHIN_S)
    assert code == RESUMABLE, f"{code}\n{stage.outputs()}"
    assert stage.journal("ended")[-1]["reason"] == "stopped"
    again = cli_master(stage, jobs)
    stage.wait_until(lambda: len(stage.journal("resumed")) == 2, "the next master")
    stage.open_gate()
    stage.plan = [[iteration, 0, 1, 1.0] for iteration in range(jobs)]
    stage.finish(again)
    assert all(worker.returncode == 0 for worker in workers)
    no_strike(stage)
    return {"exit s": seconds}


WORKER, MASTER = "SIGTERM worker", "SIGTERM master"
GOES = "exits 0 within 10 s; nothing lost, no strike"
STAYS = "exits 4 within 10 s; the workers stay, and report their results to the next master"
ROWS = [
    Row(WORKER, "M2 idle", GOES, idle_worker),
    Row(WORKER, "M3 assigned, not started", GOES, partial(worker_at_a_point, "M3")),
    Row(WORKER, "M4 running", GOES, partial(busy_worker, False)),
    Row(WORKER, "M5 outcome not sent", GOES, partial(worker_at_a_point, "M5")),
    Row(WORKER, "M6 sent, ack not read", GOES, partial(worker_at_a_point, "M6")),
    Row(WORKER, "M9 draining", GOES, partial(busy_worker, True)),
    Row("SIGTERM, grace, SIGKILL worker", "M4 running", "queued again at once", preempted),
    Row(MASTER, "M4 running", STAYS, partial(terminated_master, "running")),
    Row(MASTER, "M9 draining", STAYS, partial(terminated_master, "draining")),
]

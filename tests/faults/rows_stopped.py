"""A worker, or the master, is stopped for a while (SIGSTOP) and goes on as if nothing were."""

from __future__ import annotations

import math
import os
import random
import signal
import time
from functools import partial

from matrix import Figures, Row
from stage import TIMING, Actor, Stage

LEASE_S = TIMING["lease_s"]
PACE_S = 0.05

#: How late a loss may be noticed, beyond the lease, on a machine that is busy.
SLACK_S = 4.0

#: The longest gap between two evaluations of a worker that is not concerned.
GAP_S = 1.0


class Stop:
    """A worker stopped right after a sign of life, which is what its lease counts from."""

    def __init__(self, stage: Stage, worker: Actor) -> None:
        self.worker = worker
        beat = stage.file(f"beat-{worker.label}")
        before = beat.stat().st_mtime_ns if beat.exists() else 0
        stage.wait_until(lambda: beat.exists() and beat.stat().st_mtime_ns > before, "a beat")
        os.kill(worker.pid, signal.SIGSTOP)
        self.began = time.monotonic()
        self.at = time.time()

    def last(self, seconds: float) -> None:
        """Go on after so many seconds."""
        time.sleep(max(0.0, self.began + seconds - time.monotonic()))
        self.go_on()

    def go_on(self) -> None:
        os.kill(self.worker.pid, signal.SIGCONT)
        self.seconds = time.monotonic() - self.began


def losses(stage: Stage, worker: Actor) -> list[float]:
    """When this worker was given up."""
    return [
        record["at"]
        for record in stage.journal("worker")
        if record["state"] == "lost" and record["worker"]["worker_id"].endswith(worker.label)
    ]


def let_them_pass(stage: Stage, stops: list[Stop], seconds: float, lease_s: float) -> Figures:
    """Continue each in its time; beyond the lease not before it was given up."""
    figures: Figures = {}
    for stop in stops:
        if seconds > lease_s:
            (lost,) = stage.wait_until(
                lambda worker=stop.worker: losses(stage, worker),
                f"the loss of {stop.worker.label}",
                lease_s + 60,
            )
            silent = lost - stop.at
            assert lease_s - 0.1 <= silent <= lease_s + SLACK_S, f"given up after {silent:g} s"
            figures["given up s"] = max(silent, figures.get("given up s", 0.0))
        stop.last(seconds)
    return figures


def longest_gap(stage: Stage, worker: Actor, since: float, until: float) -> float:
    """Seconds between the end of one evaluation and the start of the next, at the most."""
    lines = [x for x in stage.log() if x["label"] == worker.label and since <= x["at"] <= until]
    times = [since, *(line["at"] for line in lines), until]
    starts = [False, *(line["event"] == "start" for line in lines), True]
    pairs = zip(times, times[1:], starts[1:], strict=False)
    return max((later - earlier for earlier, later, is_start in pairs if is_start), default=0.0)


def nothing_doubled(stage: Stage, stops: list[Stop], seconds: float, lease_s: float) -> None:
    """Within its lease a worker is not given up, and its attempts are not made again."""
    if seconds < lease_s:
        assert not [stop.worker.label for stop in stops if losses(stage, stop.worker)]
        assert not [r for r in stage.journal("start") if r["attempt"] > 1]


def idle_worker(seconds: float, stage: Stage, rng: random.Random) -> Figures:
    """Stopped before there is work, of which it is given some nevertheless."""
    stage.pace(PACE_S)
    master = stage.master(jobs=math.ceil(seconds / PACE_S) + 8)
    sleeper, other = stage.worker(label="sleeper"), stage.worker()
    stage.wait_workers(2)
    stop = Stop(stage, sleeper)
    stage.begin()
    figures = let_them_pass(stage, [stop], seconds, LEASE_S)
    figures["gap s"] = longest_gap(stage, other, *_between(stage, stop.at))
    stage.pace(0.005)
    stage.finish(master, repeats=int(seconds > LEASE_S))
    nothing_doubled(stage, [stop], seconds, LEASE_S)
    assert figures["gap s"] <= GAP_S
    return figures


def busy_workers(seconds: float, stage: Stage, rng: random.Random) -> Figures:
    """Three are stopped, each at another moment; a fourth goes on."""
    return _stop_three(stage, seconds, TIMING)


def _stop_three(stage: Stage, seconds: float, timing: dict[str, float]) -> Figures:
    lease_s = timing["lease_s"]
    stage.pace(PACE_S)
    master = stage.master(jobs=math.ceil(seconds / PACE_S) + 24, timing=timing)
    sleepers = [stage.worker(label=point) for point in ("M4", "M5", "M6")]
    other = stage.worker(label="other")
    stage.close_gate(sleepers[0])
    stage.hold("M5", "M5")
    stage.hold("M6", "M6")
    stage.begin(workers=4)
    held = stage.wait_held(sleepers[0])
    for point in ("M5", "M6"):
        stage.wait_at(point, point)
    stops = [Stop(stage, sleeper) for sleeper in sleepers]
    stage.open_gate(sleepers[0])
    stage.release("M5", "M5")
    stage.release("M6", "M6")
    figures = let_them_pass(stage, stops, seconds, lease_s)
    figures["gap s"] = longest_gap(stage, other, *_between(stage, stops[-1].at))
    stage.pace(0.005)
    # the job in hand, the outcome in hand, and one that the unread reply brought
    stage.finish(master, repeats=3 if seconds > lease_s else 0)
    nothing_doubled(stage, stops, seconds, lease_s)
    if seconds > 2 * lease_s:  # sooner the other may be busy still, and nobody was given the job
        assert stage.wait_final(stage.job_of(held))["attempt"] > held["attempt"], (
            "it was not fenced"
        )
    assert figures["gap s"] <= GAP_S
    return figures


def _between(stage: Stage, since: float) -> tuple[float, float]:
    """From a stop to now, or to the last evaluation where there was no more to do."""
    return since, min(time.time(), max(line["at"] for line in stage.log()))


#: The timing that everybody gets.
DEFAULT = {"lease_s": 30.0, "heartbeat_s": 5.0, "closed_s": 10.0, "poll_s": 10.0}


def by_default(stage: Stage, rng: random.Random) -> Figures:
    """With the timing that everybody gets, one connection closed and three workers silent."""
    return _stop_three(stage, rng.choice([29.0, 31.0]), DEFAULT)


def closed_by_default(stage: Stage, rng: random.Random) -> Figures:
    master = stage.master(jobs=4, timing=DEFAULT)
    victim, _ = stage.worker(label="victim"), stage.worker()
    stage.close_gate(victim)
    stage.begin(workers=2)
    line = stage.wait_held(victim)
    killed_at = stage.kill(victim)
    requeued = stage.wait_requeued(stage.job_of(line))["at"] - killed_at
    assert requeued <= 10.0 + SLACK_S
    stage.finish(master, repeats=1)
    return {"queued again s": requeued}


def master_stopped(sent: bool, stage: Stage, rng: random.Random) -> Figures:
    """The master is stopped for two leases; evaluations go on, and some end meanwhile."""
    master = stage.master(jobs=rng.randint(6, 12))
    workers = [stage.worker() for _ in range(3)]
    stage.close_gate()
    stage.begin(workers=3)
    held = [stage.wait_held(worker) for worker in workers]
    os.kill(master.pid, signal.SIGSTOP)
    began = time.monotonic()
    if sent:
        stage.open_gate()
    time.sleep(max(0.0, began + 2 * LEASE_S - time.monotonic()))
    os.kill(master.pid, signal.SIGCONT)
    resumed_at = time.time()
    stage.open_gate()
    finals = [stage.wait_final(stage.job_of(line)) for line in held]
    assert [final["attempt"] for final in finals] == [1, 1, 1], "an evaluation was lost"
    stage.finish(master)
    return {"results after s": max(final["at"] for final in finals) - resumed_at}


DURATIONS = {
    "1/6 lease": LEASE_S / 6,
    "5/6 lease": LEASE_S * 5 / 6,
    "31/30 lease": LEASE_S * 31 / 30,
}
SHORT = "nothing lost, no second attempt; others never wait > 1 s"
LONG = "given up at the end of its lease, fenced once replaced; others never wait > 1 s"
ROWS = [
    Row(
        f"SIGSTOP worker {name}",
        moment,
        SHORT if seconds < LEASE_S else LONG,
        partial(play, seconds),
        long=seconds > 2 * LEASE_S,
    )
    for name, seconds in {**DURATIONS, "10 leases": 10 * LEASE_S}.items()
    for moment, play in (("M2 idle", idle_worker), ("M4, M5, M6 at once", busy_workers))
]
ROWS += [
    Row("SIGSTOP master 2 leases", "M4 running", "workers wait, nothing lost",
        partial(master_stopped, False)),
    Row("SIGSTOP master 2 leases", "M6 sent, no answer", "workers wait, nothing lost",
        partial(master_stopped, True)),
    Row("SIGSTOP worker 29 or 31 s", "M4, M5, M6 at once", "as above, with the default timing",
        by_default, long=True),
    Row("SIGKILL worker, default timing", "M4 running", "queued again within 10 s",
        closed_by_default, long=True),
]  # fmt: skip

"""A run whose nameserver, master and workers are killed, stopped and replaced as it goes.

``python -m tests.faults.killed_cluster --trials 20`` repeats it and prints a table.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from stage import LIMIT_S, Actor, Line, Stage, attempt

from hpdist.multi_fidelity import Hyperband

ITERATIONS = 25
PLAN = [[r.iteration, r.rung, r.num_configs, r.budget] for r in Hyperband(1, 27).plan(ITERATIONS)]
WORKERS = 4


class Cluster(Stage):
    """A run of many short evaluations in brackets."""

    def start_master(self) -> Actor:
        timing = {"lease_s": 2.0, "heartbeat_s": 0.4}
        master = self.master(hyperband=ITERATIONS, nameserver=False, wait=False, timing=timing)
        self.plan = PLAN
        return master

    def start_worker(self) -> Actor:
        return self.worker(isolation="process")

    def hold_all(self, number: int) -> list[Line]:
        """Close the gate and wait until so many evaluations are held."""
        self.close_gate()
        self.wait_until(lambda: len(self.held()) >= number, f"{number} evaluations in hand")
        return self.held()

    def wait_for_more(self, number: int) -> None:
        """Wait until so many more jobs are settled than now."""
        target = min(self.finished() + number, sum(row[2] for row in PLAN))
        self.wait_until(lambda: self.finished() >= target, f"{target} settled jobs")

    def wait_for_work(self, workers: list[Actor]) -> None:
        """Wait until all of these have begun an evaluation."""
        pids = {worker.pid for worker in workers}
        self.wait_until(lambda: pids <= {line["worker"] for line in self.log()}, "work for all")


def trial(directory: Path, seed: int) -> dict[str, Any]:
    """Run it once, with what is killed when decided by ``seed``; returns what came of it.

    Raises
    ------
    AssertionError
        If anything went wrong.
    """
    cluster, rng = Cluster(directory), random.Random(seed)
    began = time.monotonic()
    try:
        nameserver = cluster.nameserver()
        for _ in range(WORKERS):
            cluster.start_worker()
        master = cluster.start_master()
        cluster.wait_for_more(rng.randint(5, 25))
        kill_workers_at_work(cluster, rng)
        cluster.wait_for_more(rng.randint(5, 20))
        nameserver = replace_a_worker_without_nameserver(cluster, nameserver, rng)
        cluster.wait_for_more(rng.randint(5, 20))
        stop_a_worker_past_its_lease(cluster, rng)
        cluster.wait_for_more(rng.randint(5, 20))
        master, nameserver = kill_the_master_at_work(cluster, master, nameserver, rng)
        cluster.wait_for_more(rng.randint(5, 20))
        cluster.kill(master)  # whatever it was doing
        master = cluster.start_master()
        assert master.wait(LIMIT_S) == 0, cluster.outputs()
        living = [p for p in cluster.actors if p is not nameserver and p.alive]
        assert len(living) <= WORKERS
        assert [process.wait(LIMIT_S) for process in living] == [0] * len(living)
        return cluster.judge() | {"seconds": round(time.monotonic() - began, 1)}
    finally:
        cluster.close()


def kill_workers_at_work(cluster: Cluster, rng: random.Random) -> None:
    """Two workers die in the middle of an evaluation; others take their places."""
    fresh = []
    for line in rng.sample(cluster.hold_all(WORKERS), 2):
        cluster.kill(cluster.process(line["worker"]))
        fresh.append(cluster.start_worker())
    cluster.open_gate()
    cluster.wait_for_work(fresh)


def replace_a_worker_without_nameserver(
    cluster: Cluster, nameserver: Actor, rng: random.Random
) -> Actor:
    """A worker dies while there is no nameserver; the new one gets work once that is back."""
    cluster.kill(nameserver)
    cluster.wait_for_more(3)
    line = rng.choice(cluster.hold_all(WORKERS))
    cluster.kill(cluster.process(line["worker"]))
    fresh = cluster.start_worker()
    cluster.open_gate()
    cluster.wait_for_more(3)
    nameserver = cluster.nameserver()
    cluster.wait_for_work([fresh])
    return nameserver


def stop_a_worker_past_its_lease(cluster: Cluster, rng: random.Random) -> None:
    """What it was doing is done by another one; what it tells then comes too late."""
    line = rng.choice(cluster.hold_all(WORKERS))
    for pid in (line["worker"], line["pid"]):
        os.kill(pid, signal.SIGSTOP)
    job = cluster.job_of(line)
    cluster.wait_until(
        lambda: job in [record["job_id"] for record in cluster.journal("done")], "a lost lease"
    )
    cluster.open_gate()
    cluster.wait_until(lambda: _final(cluster, job), "the same job at another worker")
    final = _final(cluster, job)[0]
    assert final["attempt"] > line["attempt"]
    os.kill(line["pid"], signal.SIGCONT)
    cluster.wait_until(
        lambda: any(
            late["event"] == "end" and attempt(late) == attempt(line) and late["at"] > final["at"]
            for late in cluster.log()
        ),
        "the end of the evaluation that was stopped",
    )
    os.kill(line["worker"], signal.SIGCONT)
    cluster.wait_until(
        lambda: any(
            other["worker"] == line["worker"] and other["at"] > final["at"]
            for other in cluster.log()
            if other["event"] == "start"
        ),
        "other work for the worker that was stopped",
    )
    assert len(_final(cluster, job)) == 1


def kill_the_master_at_work(
    cluster: Cluster,
    master: Actor,
    nameserver: Actor,
    rng: random.Random,
) -> tuple[Actor, Actor]:
    """What runs at the death of the master is settled by the next one, under the same attempt."""
    lines = cluster.hold_all(WORKERS)
    cluster.kill(master)
    before = len(cluster.journal("start"))
    if rng.random() < 0.5:
        cluster.kill(nameserver)
        nameserver = cluster.nameserver()
    early = rng.random() < 0.5
    if early:  # they end while nobody is there to be told
        cluster.open_gate()
        ends = {attempt(line) for line in lines}
        cluster.wait_until(
            lambda: ends <= {attempt(x) for x in cluster.log() if x["event"] == "end"}, "their ends"
        )
    master = cluster.start_master()
    if not early:
        cluster.wait_until(
            lambda: [r["state"] for r in cluster.journal("worker")].count("returned") >= WORKERS,
            "the return of all workers",
        )
        cluster.open_gate()
    for line in lines:
        job = cluster.job_of(line)
        cluster.wait_until(lambda job=job: _final(cluster, job), f"the result of job {job}")
        assert [r["attempt"] for r in _final(cluster, job)] == [line["attempt"]]
        assert job not in [r["job_id"] for r in cluster.journal("start")[before:]]
    return master, nameserver


def _final(cluster: Cluster, job: int) -> list[Line]:
    return [record for record in cluster.ends_of(job) if record["final"]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0, help="of the first trial")
    arguments = parser.parse_args()
    columns = ("seed", "jobs", "evaluations", "lost", "fenced", "masters", "seconds")
    sys.stdout.write("  ".join(f"{name:>11}" for name in columns) + "\n")
    failed = 0
    for seed in range(arguments.seed, arguments.seed + arguments.trials):
        with tempfile.TemporaryDirectory(prefix="killed-") as directory:
            try:
                row = {"seed": seed, **trial(Path(directory), seed)}
                told = "  ".join(f"{row[name]:>11}" for name in columns)
            except AssertionError as error:
                failed, told = failed + 1, f"{seed:>11}  FAILED: {error}"
        sys.stdout.write(told + "\n")
        sys.stdout.flush()
    sys.stdout.write(f"{arguments.trials - failed} of {arguments.trials} trials without a fault\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

"""A job that harms whoever evaluates it, among healthy ones; and a node that harms every job."""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path

from matrix import Figures, Row
from stage import Stage

#: What becomes of each poison: its failure, how often it is tried, and limits of the workers.
POISONS: dict[str, tuple[str, int, dict[str, float]]] = {
    "segfault": ("crash", 3, {}),
    "leave": ("crash", 3, {}),
    "kill_itself": ("crash", 3, {}),
    "allocate": ("memory", 1, {"memory_limit": 300 * 2**20}),
    "fork_fifty": ("", 1, {}),
    "loop_for_ever": ("timeout", 1, {"job_timeout": 2.0}),
    "hold_interpreter": ("", 1, {}),
    "print_much": ("", 1, {}),
}

NAMES = {
    "segfault": "segmentation fault",
    "leave": "os._exit(3)",
    "kill_itself": "SIGKILL itself",
    "allocate": "allocates, memory_limit 300 MiB",
    "fork_fifty": "leaves 50 forks behind",
    "loop_for_ever": "infinite loop, job_timeout 2 s",
    "hold_interpreter": "holds the GIL for 4/3 leases",
    "print_much": "prints 100 MiB",
}


def poisoned(poison: str, stage: Stage, rng: random.Random) -> Figures:
    failure, attempts, limits = POISONS[poison]
    jobs = rng.randint(6, 10)
    trial = rng.randrange(jobs)
    stage.poison({trial: poison})
    master = stage.master(jobs=jobs)
    workers = [stage.worker(isolation="process", **limits) for _ in "ab"]
    stage.begin(workers=2)
    final = stage.wait_final(trial)
    assert all(worker.alive for worker in workers)
    stage.finish(master, repeats=attempts - 1, failures={trial: failure} if failure else {})
    starts = [line for line in stage.log("start") if line["trial"] == trial]
    assert len(starts) == attempts, f"it was tried {len(starts)} times"
    assert not [r for r in stage.journal("worker") if r["state"] in ("lost", "quarantined")]
    children = {line["pid"] for line in stage.log()}
    stage.wait_until(lambda: not _left_behind(children), "the end of all that they started", 10)
    return {"settled s": final["at"] - starts[0]["at"]}


def _left_behind(children: set[int]) -> set[int]:
    """Processes in the sessions of the evaluating ones."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        if int(fields[3]) in children and fields[0] != "Z":
            found.add(int(stat.parent.name))
    return found


def black_hole(stage: Stage, rng: random.Random) -> Figures:
    """Others do well: the node is to blame, not the jobs."""
    stage.poison({"all": "die_on_this_node"})
    master = stage.master(jobs=rng.randint(24, 40))
    healthy = [stage.worker(isolation="process") for _ in "ab"]
    stage.begin(workers=2)
    stage.wait_until(lambda: stage.finished() >= 2, "results of the healthy ones")
    busy = rng.random() < 0.5
    for worker in healthy:  # else they are quick enough to do it all before it joins
        stage.close_gate(worker)
    for worker in healthy:
        stage.wait_held(worker)
    hole = stage.worker(label="hole", isolation="process")
    if not busy:
        stage.wait_until(lambda: "hole" in str(stage.joined()), "the node")
        for worker in healthy:
            stage.open_gate(worker)
    stage.wait_until(
        lambda: (
            [r for r in stage.journal("worker") if r["state"] == "quarantined"] or not master.alive
        ),
        "its quarantine",
    )
    assert hole.wait(30) == 0
    assert all(worker.poll() in (None, 0) for worker in healthy)
    stage.finish(master, repeats=3)
    crashed = [line for line in stage.log("start") if line["label"] == "hole"]
    assert len(crashed) == 3, f"{len(crashed)} evaluations were given to it"
    return {}


CRASH = "tried 3 times, a crash; the others unaffected, worker and master live"
ONCE = "a failure at once; the others unaffected, worker and master live"
NONE = "has its result; the others unaffected, worker and master live, nothing left behind"
ROWS = [
    Row(
        f"poison job: {NAMES[poison]}",
        "M4 running",
        CRASH if attempts == 3 else ONCE if failure else NONE,
        partial(poisoned, poison),
    )
    for poison, (failure, attempts, _) in POISONS.items()
]
ROWS += [
    Row("black-hole node", "every child dies", "quarantined after 3, no healthy job fails",
        black_hole),
]  # fmt: skip

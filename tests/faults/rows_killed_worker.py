"""A worker is killed, at each moment of its conversation."""

from __future__ import annotations

import random
from functools import partial

from matrix import Figures, Row
from stage import TIMING, Stage

#: How many evaluations the death at each moment may cost.
REPEATS = {"M1": 0, "M3": 0, "M5": 1, "M6": 0, "M7": 0}

#: Beyond the patience itself: a machine may be busy.
SLACK_S = 4.0


def killed_at_a_point(point: str, stage: Stage, rng: random.Random) -> Figures:
    """Killed while its conversation is held at a point."""
    victim = f"w{rng.randrange(10**6)}"
    master = stage.master(jobs=rng.randint(4, 12))
    stage.hold(victim, point)
    actor = stage.worker(label=victim)
    stage.worker()
    stage.begin(workers=2)
    stage.wait_at(victim, point)
    begun = [record for record in stage.journal("start") if victim in record["worker_id"]]
    killed_at = stage.kill(actor)
    figures = {}
    if point in ("M3", "M5"):
        requeued = stage.wait_requeued(begun[-1]["job_id"])["at"] - killed_at
        assert requeued <= TIMING["closed_s"] + SLACK_S, f"queued again after {requeued:g} s"
        figures = {"queued again s": requeued}
    stage.finish(master, repeats=REPEATS[point])
    return figures


ROWS = [
    Row("SIGKILL worker", "M3 given, not begun", "queued again", partial(killed_at_a_point, "M3"))
]

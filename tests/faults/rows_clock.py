"""The wall clock jumps; only the monotonic one decides anything."""

from __future__ import annotations

import random
from functools import partial

from matrix import Figures, Row
from odd_stage import lost, odd_master, odd_worker
from stage import Stage

DAY = 86_400
#: Short, so that a decision by the wrong clock would show.
LEASE_S = 3.0


def jump(jumps: dict[str, int], stage: Stage, rng: random.Random) -> Figures:
    """Jump while evaluations run, for longer than a lease."""
    jobs = rng.randint(4, 8)
    master = odd_master(stage, jobs=jobs, timing={"lease_s": LEASE_S, "backoff_s": LEASE_S})
    workers = [odd_worker(stage) for _ in range(2)]
    stage.close_gate()
    stage.begin(workers=2)
    for worker in workers:
        stage.wait_held(worker)
    for who, seconds in jumps.items():
        stage.file(f"clock-{who}").write_text(str(seconds))
    _wait_for_beats(stage, [worker.label for worker in workers], 1.5 * LEASE_S)
    stage.open_gate()
    stage.finish(master, repeats=0)
    assert [lost(stage, worker) for worker in workers] == [[], []]
    _check_jumped(stage, jumps)
    return {}


def _wait_for_beats(stage: Stage, labels: list[str], seconds: float) -> None:
    """Wait until every heart has gone on for so long."""
    beats = [stage.file(f"beat-{label}") for label in labels]
    before = min(beat.stat().st_mtime for beat in beats)
    stage.wait_until(
        lambda: min(beat.stat().st_mtime for beat in beats) > before + seconds, "heartbeats"
    )


def _check_jumped(stage: Stage, jumps: dict[str, int]) -> None:
    """Make sure that the clocks did jump, by what was written down."""
    here = stage.file("begin").stat().st_mtime
    seen = {"master": stage.journal("ended")[-1]["at"], "workers": stage.log("end")[-1]["at"]}
    for who, at in seen.items():
        off = at - here - jumps.get(who, 0)
        assert abs(off) < DAY / 2, f"the clock of {who} is off by {off:g} s more than it should"


WHO = {
    "master's clock, a day ahead": {"master": DAY},
    "master's clock, a day back": {"master": -DAY},
    "workers' clocks, a day ahead": {"workers": DAY},
    "workers' clocks, a day back": {"workers": -DAY},
    "all clocks, a day apart each": {"master": DAY, "workers": -DAY},
}

ROWS = [
    Row(
        f"jump of {who}",
        "M4 running",
        "no lease is decided otherwise",
        partial(jump, jumps),
        long=len(jumps) == 1,
    )
    for who, jumps in WHO.items()
]

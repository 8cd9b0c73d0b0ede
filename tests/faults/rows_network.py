"""The line between a worker and its dispatcher is cut, or a connection breaks.

Lines are cut between network namespaces where these can be made, else in a proxy.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from functools import partial

from call_faults import Fault, Rule, reset, swallow
from call_frames import Frame
from call_proxy import CallProxy
from matrix import Figures, Row
from odd_stage import THROUGH, lost, network, odd_master, odd_worker, proxied
from stage import Actor, Stage

#: Beyond the patience itself: a machine may be busy.
SLACK_S = 6.0

#: How long a worker of these rows waits for an answer, in place of ten.
ANSWER_S = 1.0

LEASES = {"short": 12.0, "long": 2.0}

# ------------------------------------------------------------------ a line that is cut


def cut_off(way: str, length: str, moment: str, stage: Stage, rng: random.Random) -> Figures:
    """Cut for a second of a long lease, or until a short one is over; what is said is lost."""
    with network(stage) as net:
        lease = {"lease_s": LEASES[length]}
        jobs = rng.randint(4, 8)
        master = odd_master(stage, jobs=jobs, timing=lease, stay=True, **net.near)
        far = odd_worker(stage, "far", answer_s=ANSWER_S, **net.far)
        near = odd_worker(stage, "near", **{k: v for k, v in net.near.items() if k == "netns"})
        _bring_to(stage, moment, far, near)
        net.cut(way)
        began = time.time()
        _go_on(stage, moment, far)
        figures = {}
        if length == "long":
            gone = stage.wait_until(lambda: lost(stage, far), "the loss of the far worker")
            figures["noticed s"] = gone[0]["at"] - began
            assert figures["noticed s"] < LEASES[length] + SLACK_S
        else:
            time.sleep(1.0)  # the fault itself: how long the line is cut
        net.heal()
        stage.wait_until(lambda: _is_here(stage, far), "the return of the far worker")
        assert bool(lost(stage, far)) == (length == "long")
        stage.finish(master, repeats=int(length == "long"))
        return figures


def _bring_to(stage: Stage, moment: str, far: Actor, near: Actor) -> None:
    stage.wait_workers(2)
    stage.close_gate(near)
    if moment == "M4":
        stage.close_gate(far)
    else:
        stage.hold(far.label, moment)
    stage.begin(workers=2)
    if moment == "M4":
        stage.wait_held(far)
    else:
        stage.wait_at(far.label, moment)


def _go_on(stage: Stage, moment: str, far: Actor) -> None:
    """Let all go on that was held, in the dark."""
    if moment == "M4":
        stage.open_gate(far)
    else:
        stage.release(far.label, moment)
    stage.file("gate-near").unlink()


def _is_here(stage: Stage, worker: Actor) -> bool:
    return any(worker.label in worker_id for worker_id in stage.joined())


# ------------------------------------------------------------------ a connection that breaks


def _work(frame: Frame) -> bool:
    return frame.is_reply and frame.carries("assignments")


def _outcome(frame: Frame) -> bool:
    return not frame.is_reply and frame.carries("results")


def _answer(frame: Frame) -> bool:
    return frame.asked is not None and frame.asked.carries("results")


MOMENTS: dict[str, Callable[[Frame], bool]] = {"M3": _work, "M5": _outcome, "M6": _answer}


def broken(fault: Fault, moment: str, stage: Stage, rng: random.Random) -> Figures:
    """Break the connection in place of a message, two times; nothing is repeated."""
    with proxied(stage) as proxy:
        if moment in MOMENTS:
            proxy.add(Rule(MOMENTS[moment], fault, times=2))
        jobs = rng.randint(4, 8)
        master = odd_master(stage, jobs=jobs, timing={"lease_s": LEASES["short"]})
        worker = odd_worker(stage, "victim", answer_s=ANSWER_S, **THROUGH)
        stage.close_gate(worker)
        stage.begin(workers=1)
        stage.wait_held(worker)
        began = time.time()
        if moment == "M4":
            _break_all(proxy, fault)
        stage.open_gate(worker)
        stage.finish(master, repeats=0)
        assert moment == "M4" or proxy.count(fault.__name__) == 2
        assert lost(stage, worker) == []
        first = stage.journal("done")[0]
        return {"recorded s": first["at"] - began} if moment != "M3" else {}


def _break_all(proxy: CallProxy, fault: Fault) -> None:
    assert len(proxy.pairs()) >= 2, "a worker has two connections"
    if fault is reset:
        proxy.reset()
    else:
        proxy.swallow()


WHEN = {
    "M3": "M3 assigned, not started",
    "M4": "M4 running",
    "M5": "M5 outcome not sent",
    "M6": "M6 sent, not acknowledged",
}
EXPECTED = {
    "short": "no second attempt, nothing lost",
    "long": "queued again within the lease; the worker comes back; one result",
}
LENGTHS = {"short": "shorter than the lease", "long": "longer than the lease"}
IN_CI = {("both", "long", "M4"), ("to the worker", "short", "M5"), ("to the master", "long", "M3")}

ROWS = [
    Row(
        f"line cut {'both ways' if way == 'both' else way}, {LENGTHS[length]}",
        WHEN[moment],
        EXPECTED[length],
        partial(cut_off, way, length, moment),
        long=(way, length, moment) not in IN_CI,
    )
    for way in ("both", "to the master", "to the worker")
    for length in ("short", "long")
    for moment in ("M3", "M4", "M5")
] + [
    Row(
        f"connection {name}",
        WHEN[moment],
        "sent again; nothing lost, nothing repeated",
        partial(broken, fault, moment),
        long=moment != ci,
    )
    for name, fault, ci in (("reset", reset, "M6"), ("half-open", swallow, "M4"))
    for moment in ("M3", "M4", "M5", "M6")
]

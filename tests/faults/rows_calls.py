"""Calls of every kind are lost, doubled, repeated, delayed, mixed up and broken off."""

from __future__ import annotations

import random
from functools import partial

from call_faults import (
    Fault,
    Gate,
    Rates,
    Rule,
    delay,
    double,
    drip,
    drop,
    repeat,
    replay,
    reset,
    stray,
)
from call_frames import Frame
from call_proxy import CallProxy
from matrix import Figures, Row
from odd_stage import THROUGH, key_of, odd_master, odd_worker, proxied
from stage import TIMING, Stage

KINDS = ("register", "poll", "heartbeat", "deregister")
RATE = 0.1
ANSWER_S = 1.0
WORKERS = 3

#: By the word that stands in the table.
FAULTS: dict[str, Fault] = {
    "dropped": drop,
    "doubled": double,
    "repeated": repeat,
    "late once more": replay(0.3),
    "delayed": delay(0.3),
    "late after their repetition": delay(ANSWER_S + TIMING["poll_s"] + 0.5),
    "after a stray one": stray,
    "in pieces": drip(0.0005, size=16),
    "broken off": reset,
}


def harmed(names: tuple[str, ...], stage: Stage, rng: random.Random) -> Figures:
    """Harm the first messages of each kind, and a tenth of all others."""
    faults = [FAULTS[name] for name in names]
    jobs = rng.randint(20, 30)
    # Apart from the master, so that it tells those who miss its last word that the run is over.
    stage.nameserver()
    master = odd_master(stage, jobs=jobs, timing={"lease_s": 12.0}, nameserver=False)
    rates = Rates(rng.randrange(10**6), dict.fromkeys(faults, RATE / len(faults)))
    with proxied(stage, rates, key=key_of(stage)) as proxy:
        proxy.add(*(_first(kind, rng.choice(faults)) for kind in KINDS))
        for _ in range(WORKERS):
            odd_worker(stage, answer_s=ANSWER_S, **THROUGH)
        stage.begin(workers=WORKERS)
        stage.finish(master, repeats=0)
        return {"harmed calls": _harmed(proxy), "all calls": proxy.count("") / 2}


def overtaken(stage: Stage, rng: random.Random) -> Figures:
    """Hold an idle worker's call until it gave up and asked again; then there is work."""
    gate, asked = Gate(), _Asked()
    timing = {"lease_s": 30.0, "poll_s": 4.0}
    master = odd_master(stage, jobs=rng.randint(2, 5), timing=timing)
    with proxied(stage, Rule(lambda frame: _is(frame, "poll"), gate), asked) as proxy:
        odd_worker(stage, answer_s=ANSWER_S, **THROUGH)
        number = gate.wait().content["request"]
        stage.wait_until(lambda: number in asked.numbers, "the same call again")
        gate.open()
        stage.wait_until(lambda: proxy.count("gate") == 1, "the call that was held")
        stage.begin(workers=1)
        stage.finish(master, repeats=0)
        assert asked.numbers.count(number) == 1, "the call was not answered when it came again"
        return {}


class _Asked:
    """Notes the numbers of the polls that were not held."""

    def __init__(self) -> None:
        self.numbers: list[int] = []

    def __call__(self, frame: Frame) -> None:
        if _is(frame, "poll"):
            self.numbers.append(frame.content["request"])


def _first(kind: str, fault: Fault) -> Rule:
    return Rule(lambda frame: _is(frame, kind), fault, times=2)


def _is(frame: Frame, kind: str) -> bool:
    return frame.kind == kind and not frame.is_reply


def _harmed(proxy: CallProxy) -> float:
    harmed = proxy.count("") - proxy.count("pass")
    assert harmed >= 2 * len(KINDS) - 1, f"only {harmed} messages came to harm: {proxy.counts}"
    return float(harmed)


ROWS = [
    Row(
        f"calls {', '.join(names)}" if len(names) < len(FAULTS) else "calls harmed in all ways",
        "register, poll, heartbeat, deregister, and a tenth of all",
        "nothing lost, nothing repeated, no worker leaves",
        partial(harmed, names),
        long=len(names) == 1,
    )
    for names in [*((name,) for name in FAULTS), tuple(FAULTS)]
] + [
    Row(
        "call that comes after its own repetition",
        "M2 idle",
        "the work that there is then is done",
        overtaken,
        long=True,
    )
]

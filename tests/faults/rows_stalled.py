"""A worker stalls in one way or another; what another one waits because of it is measured."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial

from call_frames import call_bytes
from matrix import Figures, Row
from odd_stage import THROUGH, key_of, odd_master, odd_worker, proxied
from stage import RUN, Actor, Stage

from hpdist.cluster.transport.address import split_address
from hpdist.cluster.transport.client import Connection
from hpdist.cluster.transport.pyro import OBJECT_ID

#: What no worker may be delayed more than, and what a busy machine may add to it.
BOUND_S, SLACK_S = 1.0, 2.0

#: Evaluations of the other worker that are looked at.
EVALUATIONS = 40


Resume = Callable[[], object]
"""Ends the stall."""


@contextmanager
def stopped(stage: Stage) -> Iterator[Resume]:
    """SIGSTOP, in the middle of an evaluation."""
    victim = _one_at_work(stage)
    os.kill(victim.pid, signal.SIGSTOP)
    yield lambda: os.kill(victim.pid, signal.SIGCONT)


@contextmanager
def silent(stage: Stage) -> Iterator[Resume]:
    """Its connections stand, and nothing comes over them."""
    with proxied(stage) as proxy:
        _one_at_work(stage, **THROUGH)
        proxy.swallow()
        yield proxy.reset


@contextmanager
def deaf(stage: Stage) -> Iterator[Resume]:
    """It calls and calls and reads no answer, until neither side can send any more."""
    _one_at_work(stage)
    key = key_of(stage)
    host, port = split_address(stage.address())
    connection = Connection("the dispatcher", OBJECT_ID, host, port, key, 10.0)
    connection._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sent = itertools.count()
    caller = threading.Thread(target=_call_on, args=(connection, key, sent))
    caller.start()
    try:
        yield connection.close
    finally:
        connection.close()
        caller.join()
    assert next(sent) > 100, "it did not call on"


def _one_at_work(stage: Stage, **options: str) -> Actor:
    victim = odd_worker(stage, "victim", answer_s=2.0, **options)
    stage.close_gate(victim)
    stage.begin(workers=1)
    stage.wait_held(victim)
    return victim


def _call_on(connection: Connection, key: bytes, sent: Iterator[int]) -> None:
    """Call until this is broken off; the dispatcher does so itself if nobody listens for long."""
    who = {"v": 1, "run": RUN, "worker": "deaf", "incarnation": "d" * 8, "epoch": 0}
    connection._sock.settimeout(None)
    with suppress(OSError):
        for number in range(1, 1_000_000):
            message = {**who, "kind": "heartbeat", "request": number, "wait": 0.0}
            call = call_bytes(json.dumps(message), key, connection._nonce, number)
            connection._sock.sendall(call)
            next(sent)


def others_go_on(
    stall: Callable[[Stage], AbstractContextManager[Resume]], stage: Stage, rng: random.Random
) -> Figures:
    """Measure the longest time between two results of a worker beside one that stalls."""
    master = odd_master(stage, jobs=EVALUATIONS + rng.randint(5, 10), timing={"lease_s": 60.0})
    stage.pace(0.01)
    stage.wait_until(lambda: stage.journal("resumed"), "a dispatcher")
    with stall(stage) as resume:
        already = stage.finished()
        other = stage.worker(label="other")
        stage.wait_until(lambda: stage.finished() >= already + EVALUATIONS, "work of the other")
        ends = [r["at"] for r in stage.journal("done") if other.label in r["worker_id"]]
        resume()
        stage.finish(master, repeats=0)
    longest = max(after - before for before, after in itertools.pairwise(ends))
    assert longest < BOUND_S + SLACK_S, f"another worker waited {longest:.2f} s"
    return {"longest pause s": longest}


ROWS = [
    Row(
        f"stalled worker: {what}",
        "M4 running",
        "no other worker is delayed by more than 1 s",
        partial(others_go_on, stall),
        long=what == "connections silent",
    )
    for what, stall in (
        ("stopped", stopped),
        ("connections silent", silent),
        ("socket buffers full", deaf),
    )
]

"""Many workers come at the same moment, beside connections that only stand."""

from __future__ import annotations

import random
import time

from matrix import Figures, Row
from stage import RUN, Stage

from hpdist.cluster.transport.dispatcher_channel import DispatcherChannel
from hpdist.core.journal.run_key import find_key

PROCESSES, THREADS = 4, 16
WORKERS = PROCESSES * THREADS
CONNECTIONS = 256


def crowd(stage: Stage, rng: random.Random) -> Figures:
    """Each worker has two connections; the others are of operators that stay."""
    timing = {"lease_s": 30.0, "heartbeat_s": 2.0, "closed_s": 10.0}
    master = stage.master(jobs=WORKERS, timing=timing)
    processes = [stage.worker(threads=THREADS) for _ in range(PROCESSES)]
    address = stage.address()
    key = find_key(RUN, stage.directory / RUN, create=False)
    channels = [DispatcherChannel(key, address, RUN) for _ in range(CONNECTIONS - 2 * WORKERS)]
    try:
        stage.close_gate()
        stage.begin()
        for channel in channels:
            assert channel.control({"command": "who"})["kind"] == "ok"
        began = time.time()
        stage.file("go").touch()
        stage.wait_until(lambda: len(stage.held()) == WORKERS, "work for all", 100)
        joined = [r["at"] for r in stage.journal("worker") if r["state"] == "joined"]
        assert len(joined) == WORKERS
        for channel in channels:
            assert channel.control({"command": "who"})["kind"] == "ok"
    finally:
        for channel in channels:
            channel.close()
    assert all(process.alive for process in processes)
    stage.finish(master)
    return {"all joined s": max(joined) - began}


ROWS = [
    Row("64 workers at once", "256 connections", "all are served, nobody is turned away", crowd),
]

"""Which serializer should carry the one string of a call?

    python -m benchmarks.serializers [--seconds 2] [--repeats 3]

The real executor, server, channels and key, over loopback; a loop as short as can be, which writes
three records an evaluation and commits once a batch, before it acknowledges or launches; jobs
that do nothing. Repeats are interleaved, the table shows medians and the range.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import secrets
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from hpdist.cluster.transport import pyro
from hpdist.cluster.transport.dispatcher_channel import DispatcherChannel
from hpdist.cluster.transport.dispatcher_server import Server
from hpdist.core.journal.journal import Journal
from hpdist.core.model.errors import TransportError
from hpdist.core.model.events import (
    AttemptEnded,
    AttemptFinished,
    AttemptStarted,
    Event,
    JobCreated,
    RunCreated,
    WorkerJoined,
)
from hpdist.core.model.limits_and_timing import Timing
from hpdist.core.model.orders import (
    Acknowledge,
    Launch,
    Order,
    Registered,
)
from hpdist.core.model.payload import Payload
from hpdist.core.model.values import Job, Trial
from hpdist.core.remote.executor import RemoteExecutor
from hpdist.core.run.inbox import QueueInbox

SERIALIZERS = ("serpent", "json", "msgpack")
SHAPES = {2: (2, 1), 8: (4, 2), 64: (4, 16)}  # workers: (processes, threads in each)
CONFIG = {"lr": 0.0123, "momentum": 0.9, "layers": 3, "activation": "relu", "dropout": 0.25}
RUN = "benchmark"
WARM_UP_S = 0.7


class ShortLoop:
    """Acknowledges each result and assigns the next job."""

    def __init__(self, executor: RemoteExecutor, inbox: QueueInbox, journal: Journal) -> None:
        self.executor, self.inbox, self.journal = executor, inbox, journal
        self.finished = 0
        self.stopped = threading.Event()
        self._numbers = itertools.count()

    def run(self) -> None:
        while not self.stopped.is_set():
            orders: list[Order] = []
            for _, event in self.inbox.take(time.monotonic() + 0.1):
                orders += self._answer(event)
            self.journal.commit()
            self.executor.perform(orders)

    def _answer(self, event: Event) -> list[Order]:
        if isinstance(event, WorkerJoined):
            worker, incarnation = event.worker.worker_id, event.worker.incarnation
            return [Registered(worker, incarnation), self._launch(worker, incarnation)]
        if not isinstance(event, AttemptFinished):
            return []
        self.finished += 1
        worker, incarnation, result = event.worker_id, event.incarnation, event.result
        ended = AttemptEnded(result.job_id, 1, worker, result.outcome)
        self.journal.append(ended, time.time())
        done = Acknowledge(worker, incarnation, result.job_id, result.attempt)
        return [done, self._launch(worker, incarnation)]

    def _launch(self, worker: str, incarnation: str) -> Launch:
        number = next(self._numbers)
        trial = Trial(number, (0, 0, number), CONFIG)
        self.journal.append(JobCreated(Job(number, number, 1.0), trial), time.time())
        self.journal.append(AttemptStarted(number, 1, worker), time.time())
        payload = Payload(number, (0, 0, number), CONFIG, 1.0, number)
        return Launch(worker, incarnation, number, 1, payload)


def work(key: bytes, uri: str, name: str) -> None:
    """Be a worker whose evaluations take no time, until the server is gone."""
    channel = DispatcherChannel(key, uri, RUN)
    who = {"epoch": 1, "worker": name, "incarnation": secrets.token_hex(8)}
    message: dict[str, Any] = {"kind": "register", "info": {}}
    for request in itertools.count():
        try:
            reply = channel.call({**who, **message, "request": request})
        except TransportError:
            return
        results = [
            {
                "job_id": item["job_id"],
                "attempt": item["attempt"],
                "outcome": {"loss": 0.123456789, "cost": None, "info": None},
                "seconds": 0.0,
                "started": 0.0,
                "output": "",
            }
            for item in reply.get("assignments", ())
        ]
        message = {"kind": "poll", "results": results, "wait": 5.0}


def work_in_threads(serializer: str, key: bytes, uri: str, process: int, threads: int) -> None:
    pyro.SERIALIZER = serializer
    running = [
        threading.Thread(target=work, args=(key, uri, f"p{process}t{number}"))
        for number in range(threads)
    ]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()


def measure(serializer: str, workers: int, seconds: float) -> float:
    """Return evaluations per second, from assignment to acknowledgement."""
    pyro.SERIALIZER = serializer
    key, inbox = secrets.token_bytes(32), QueueInbox()
    executor = RemoteExecutor(Timing(), 1, RUN)
    executor.start(inbox.post)
    server = Server(executor.exchange, executor.exchange, key=key, host="127.0.0.1")
    server.start()
    processes, threads = SHAPES[workers]
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as directory:
        journal = Journal.open(Path(directory) / "journal")
        journal.append(RunCreated(1, RUN), time.time())
        loop = ShortLoop(executor, inbox, journal)
        thread = threading.Thread(target=loop.run)
        thread.start()
        children = [
            spawn.Process(target=work_in_threads, args=(serializer, key, server.uri, n, threads))
            for n in range(processes)
        ]
        for child in children:
            child.start()
        while loop.finished < workers:
            time.sleep(0.01)
        time.sleep(WARM_UP_S)
        before, started = loop.finished, time.perf_counter()
        time.sleep(seconds)
        rate = (loop.finished - before) / (time.perf_counter() - started)
        executor.close(1.0)
        server.close()
        loop.stopped.set()
        for child in children:
            child.join()
        thread.join()
        journal.close()
    return rate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    rates: dict[tuple[str, int], list[float]] = {}
    for _ in range(options.repeats):
        for workers in SHAPES:
            for serializer in SERIALIZERS:
                rate = measure(serializer, workers, options.seconds)
                rates.setdefault((serializer, workers), []).append(rate)
    print("evaluations per second, median (least to most)")
    print("serializer  " + "".join(f"{n:>3} workers             " for n in SHAPES))
    for serializer in SERIALIZERS:
        cells = []
        for workers in SHAPES:
            found = rates[serializer, workers]
            middle = statistics.median(found)
            cells.append(f"{middle:7.0f} ({min(found):.0f} to {max(found):.0f})".ljust(24))
        print(f"{serializer:<12}" + "".join(cells))


if __name__ == "__main__":
    main()

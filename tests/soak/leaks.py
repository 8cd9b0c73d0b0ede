"""Does a server or a worker keep anything of jobs and connections that are over?

``python -m tests.soak.leaks --jobs 10000 --reconnects 1000`` runs both in one process, and prints
what it used before and after. Nothing in between keeps books: the loop here gives out one job
after the other and forgets it, so whatever grows is left behind by hpdist.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from soak_samples import look

from hpdist.cluster.transport.dispatcher_channel import DispatcherChannel
from hpdist.cluster.transport.dispatcher_server import Server
from hpdist.core.attempt.inline_runner import InlineRunner
from hpdist.core.model.events import (
    AttemptFinished,
    Event,
    WorkerJoined,
)
from hpdist.core.model.limits_and_timing import Timing
from hpdist.core.model.orders import (
    Acknowledge,
    Launch,
    Order,
    Registered,
    ShutDown,
)
from hpdist.core.model.payload import Payload
from hpdist.core.model.values import WorkerInfo
from hpdist.core.objective.objective import objective_of
from hpdist.core.remote.channel import Timeouts
from hpdist.core.remote.executor import RemoteExecutor
from hpdist.core.remote.outbox import Outbox
from hpdist.core.remote.session import Session
from hpdist.core.run.inbox import QueueInbox

RUN, KEY = "leaks", b"k" * 32
MOST_BYTES = 5 * 1024 * 1024
LIMIT_S = 30.0


class Loop(threading.Thread):
    """Gives whoever is there one job after the other, and forgets them."""

    def __init__(self, inbox: QueueInbox, executor: RemoteExecutor) -> None:
        super().__init__(name="leaks-loop")
        self.jobs = self.finished = 0  #: to be given out; that came back
        self._inbox, self._executor, self._next, self._ends = inbox, executor, 0, False

    def run(self) -> None:
        while not self._ends:
            orders: list[Order] = []
            for _, event in self._inbox.take(self._inbox.now() + 0.1):
                orders += self._answer(event)
            self._executor.perform(orders)

    def end(self) -> None:
        self._ends = True
        self.join()

    def _answer(self, event: Event) -> list[Order]:
        if isinstance(event, WorkerJoined):
            who = event.worker.worker_id, event.worker.incarnation
            return [Registered(*who), self._work(*who)]
        if isinstance(event, AttemptFinished):
            who = event.worker_id, event.incarnation
            self.finished += 1
            ack = Acknowledge(*who, event.result.job_id, event.result.attempt)
            return [ack, self._work(*who)]
        return []

    def _work(self, worker_id: str, incarnation: str) -> Order:
        if self.finished == self.jobs:
            return ShutDown(worker_id, incarnation, reason="finished")
        self._next += 1
        payload = Payload(self._next, (0, 0, self._next), {"x": 0.5}, 1.0, seed=1)
        return Launch(worker_id, incarnation, self._next, 1, payload)


class ShakyChannel(DispatcherChannel):
    """Hangs up before every so many calls, and dials anew."""

    every, reconnects = 10, 0

    def call(self, message: Mapping[str, Any]) -> dict[str, Any]:
        self._calls = getattr(self, "_calls", 0) + 1
        if self._calls % self.every == 0:
            self.close()
            type(self).reconnects += 1
        return super().call(message)


@contextmanager
def serving() -> Iterator[tuple[Server, Loop]]:
    """A server with its executor, and the loop behind it."""
    inbox, executor = QueueInbox(), RemoteExecutor(Timing(), 1, RUN)
    server = Server(executor.exchange, executor.exchange, key=KEY, host="127.0.0.1")
    loop = Loop(inbox, executor)
    executor.start(inbox.post)
    server.start()
    loop.start()
    try:
        yield server, loop
    finally:
        executor.close(1.0)
        server.close()
        loop.end()


def work(server: Server, loop: Loop, jobs: int, directory: Path) -> None:
    """Have a worker come, do so many jobs, and leave."""
    loop.jobs, loop.finished = jobs, 0
    info = WorkerInfo("w", uuid.uuid4().hex)
    session = Session(
        info,
        RUN,
        InlineRunner(objective_of(lambda config: config["x"])),
        lambda: ShakyChannel(KEY, server.uri, RUN),
        Outbox(directory / "outbox", info.worker_id, info.incarnation),
        directory=directory,
        timeouts=Timeouts(reconnect_s=LIMIT_S),
    )
    reason = session.run()
    if (reason, loop.finished) != ("finished", jobs):
        raise AssertionError(f"{loop.finished} of {jobs} jobs came back; it left: {reason}")


def settled(level: dict[str, int] | None = None) -> dict[str, int]:
    """What this process uses when threads and files are back at this level, or at rest."""
    until = time.monotonic() + LIMIT_S
    while True:
        gc.collect()
        before = look()
        time.sleep(0.2)
        now = look()
        wanted = level or before
        if all(now[what] == wanted[what] for what in ("threads", "fds")):
            return now
        if time.monotonic() > until:
            return now


def measure(jobs: int, reconnects: int) -> dict[str, Any]:
    """Do so many jobs over so many connections; returns what was used before and after."""
    ShakyChannel.every = max(1, jobs // reconnects)
    with tempfile.TemporaryDirectory() as directory, serving() as (server, loop):
        work(server, loop, max(200, jobs // 10), Path(directory))  # fills what is kept once
        before, ShakyChannel.reconnects = settled(), 0
        work(server, loop, jobs, Path(directory))
        after = settled(before)
    return {
        "jobs": jobs,
        "reconnects": ShakyChannel.reconnects,
        "before": before,
        "after": after,
        "grown_bytes": after["rss"] - before["rss"],
        "complaints": complaints(before, after),
    }


def complaints(before: dict[str, int], after: dict[str, int]) -> list[str]:
    """What has grown though it must not."""
    found = [
        f"{after[what] - before[what]} {what} too many"
        for what in ("threads", "fds")
        if after[what] != before[what]
    ]
    grown = after["rss"] - before["rss"]
    return [*found, f"memory grew by {grown} bytes"] if grown >= MOST_BYTES else found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.leaks", description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--reconnects", type=int, default=1_000)
    options = parser.parse_args()
    measured = measure(options.jobs, options.reconnects)
    sys.stdout.write(json.dumps(measured) + "\n")
    return 1 if measured["complaints"] else 0


if __name__ == "__main__":
    sys.exit(main())

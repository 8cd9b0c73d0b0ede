"""A worker for the run in this directory, until the run ends: ``worker.py OPTIONS``.

OPTIONS is a JSON object: ``label``, which tells it apart in files and logs; with ``cli``, a list of
options, it is ``hpdist worker``; with ``threads`` so many workers, which all come when there is a
file ``go``; other options go to `hpdist.Worker`.

A file ``hold-<label>-<point>`` stops it at a point of its conversation, said by ``at-<label>-
<point>``, until the first file is gone: ``M1`` before it introduces itself, ``M3`` with a job
that it was given and has not begun, ``M5`` with an outcome that it has not sent, ``M6`` with the
answer to one, unread, ``M7`` when the outcome is acknowledged. Its heart goes on meanwhile. A file
``proxy`` names the address to dial in place of the dispatcher's.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

from hpdist import Worker
from hpdist.cluster import discovery as locate
from hpdist.cluster import worker as module
from hpdist.cluster.transport.dispatcher_channel import DispatcherChannel
from hpdist.core.remote.in_flight import InFlight
from hpdist.core.remote.messages import Message
from hpdist.core.remote.replies import Reply

OBJECTIVE = f"{Path(__file__).with_name('objective.py')}:evaluate"
PROXY = Path("proxy")
replied_as_ever = InFlight.replied
label = ""


def reach(point: str) -> None:
    hold, at = Path(f"hold-{label}-{point}"), Path(f"at-{label}-{point}")
    if hold.exists():
        at.touch()
        while hold.exists():
            time.sleep(0.005)
        at.unlink(missing_ok=True)


class HeldChannel(DispatcherChannel):
    """Stops before and after calls that matter."""

    def call(self, message: Any) -> dict[str, Any]:
        if message["kind"] == "register":
            reach("M1")
        if message["kind"] == "heartbeat":
            Path(f"beat-{label}").touch()
        if message.get("results"):
            reach("M5")
        reply = super().call(message)
        if message.get("results"):
            reach("M6")
        if reply.get("assignments"):
            reach("M3")
        return reply


def replied(in_flight: InFlight, message: Message, reply: Reply) -> None:
    """Note what a reply confirms, as ever, and stop after that."""
    replied_as_ever(in_flight, message, reply)
    if reply.acknowledged:
        reach("M7")


class StageWorker(Worker):
    def _find_dispatcher(self) -> str:
        found = super()._find_dispatcher()
        return PROXY.read_text() if PROXY.exists() else found


def main(options: dict[str, Any]) -> int:
    global label
    label = options.pop("label", "")
    os.environ |= {"STAGE_LABEL": label, "STAGE_WORKER": str(os.getpid())}
    locate.DispatcherChannel = HeldChannel  # type: ignore[misc]
    InFlight.replied = replied  # type: ignore[method-assign]
    if "cli" in options:
        from hpdist.cli.main import main as hpdist

        module.Worker = StageWorker  # type: ignore[misc]
        sys.argv = ["hpdist", "worker", OBJECTIVE, "--run", "run", *options["cli"]]
        return hpdist()
    threads = options.pop("threads", 1)
    workers = [make(f"{label}-{number}" if threads > 1 else label, options)
               for number in range(threads)]  # fmt: skip
    if threads == 1:
        workers[0].run()
        return 0
    while not Path("go").exists():
        time.sleep(0.005)
    for worker in workers:
        worker.run(background=True)
    for worker in workers:
        worker.wait()
    return int(any(worker.reason != "finished" for worker in workers))


def make(name: str, options: dict[str, Any]) -> StageWorker:
    worker = StageWorker("run", worker_id=name or None, reconnect_timeout=60, **options)
    worker.initialize(OBJECTIVE)
    worker.load_nameserver_credentials(".", num_tries=600, interval=0.1)
    return worker


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    sys.exit(main(json.loads(sys.argv[1])))

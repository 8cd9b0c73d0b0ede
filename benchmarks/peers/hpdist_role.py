"""One process of an hpdist run that does the same as ``hpbandster_role.py``: the same arguments."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from typing import Any

from hpdist import Master, NameServer, Space, Timing, Worker
from hpdist.multi_fidelity import SingleFidelity
from hpdist.optimizers import RandomSearch

RUN = "peer"


def nameserver(jobs: int) -> None:
    NameServer(RUN, ".").start()
    threading.Event().wait()


def worker(jobs: int) -> None:
    one = Worker(RUN, isolation="process")
    one.initialize(f"{Path(__file__).with_name('hpdist_objective.py')}:evaluate")
    one.load_nameserver_credentials(".", interval=0.2)
    one.run()


def master(jobs: int) -> None:
    with Master(
        RUN,
        RandomSearch(Space.of({"x": (0.0, 1.0)})),
        SingleFidelity(num_configs=jobs),
        nameserver=None,
        timing=Timing(lease_s=5.0, heartbeat_s=1.0, closed_s=2.0),
    ) as search:
        results = search.run(n_iterations=1)
        losses: list[Any] = [one.loss for one in results.evaluations]
        Path("results.json").write_text(json.dumps(losses))


if __name__ == "__main__":
    {"nameserver": nameserver, "worker": worker, "master": master}[sys.argv[1]](int(sys.argv[2]))

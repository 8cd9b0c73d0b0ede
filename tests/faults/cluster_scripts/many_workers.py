"""Many workers of the run in this directory, each in a thread: ``many_workers.py NUMBER``.

An evaluation ends when there is a file ``go``, so that no worker does the work of another.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from hpdist import Worker

GO = Path("go")


def evaluate(config: dict[str, float]) -> float:
    while not GO.exists():
        time.sleep(0.05)
    return config["x"]


workers = [Worker("many", isolation="none") for _ in range(int(sys.argv[1]))]
for worker in workers:
    worker.initialize(evaluate)
    worker.load_nameserver_credentials(".")
    worker.run(background=True)
for worker in workers:
    worker.wait()
assert "ConfigSpace" not in sys.modules, "a worker needs no search space"
assert all(worker.reason == "finished" for worker in workers)

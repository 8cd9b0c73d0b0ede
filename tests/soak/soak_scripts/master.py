"""The master of the run in this directory, begun or gone on with: ``master.py SETTINGS``."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from pathlib import Path

from hpdist import Master, Space, Timing
from hpdist.multi_fidelity import SingleFidelity
from hpdist.optimizers import RandomSearch


def end_with_the_driver() -> None:
    """Go when whoever started this is gone: its end of the pipe is then closed."""
    sys.stdin.read()
    os._exit(3)


settings = json.loads(sys.argv[1])
threading.Thread(target=end_with_the_driver, daemon=True).start()
logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
with Master(
    settings["run"],
    RandomSearch(Space.of({"x": (0.0, 1.0)})),
    SingleFidelity(num_configs=settings["jobs"]),
    nameserver=None,
    port=settings["port"],
    seed=settings["seed"],
    timing=Timing(**settings["timing"]),
) as master:
    master.wait_for_workers(0)
    Path("up").write_text(str(os.getpid()))
    master.run(1, min_n_workers=0)

"""The master of the run in this directory: begun, or gone on with."""

from __future__ import annotations

import logging
import sys

from hpdist import Master, Space, Timing
from hpdist.multi_fidelity import Hyperband
from hpdist.optimizers import RandomSearch

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
with Master(
    "killed",
    RandomSearch(Space.of({"x": (0.0, 1.0)})),
    Hyperband(1, 27),
    nameserver=None,
    timing=Timing(lease_s=2.0, heartbeat_s=0.4, closed_s=1.0, poll_s=2.0, backoff_s=2.0),
) as master:
    master.run(n_iterations=int(sys.argv[1]))

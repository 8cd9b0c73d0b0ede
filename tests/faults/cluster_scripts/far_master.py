"""A master that finds out by itself where to listen: ``far_master.py HOST PORT NIC``."""

from __future__ import annotations

import json
import sys

from hpdist import Master, Space
from hpdist.multi_fidelity import SuccessiveHalving
from hpdist.optimizers import RandomSearch

_, host, port, _ = sys.argv
with Master(
    "far",
    RandomSearch(Space.of({"x": (0.0, 1.0)})),
    SuccessiveHalving(1, 9),
    nameserver=host,
    nameserver_port=int(port),
    worker_timeout=60,
) as master:
    master.wait_for_workers(0)
    sys.stdout.write("up\n")
    sys.stdout.flush()
    results = master.run()
    told = {
        "uri": master.dispatcher.service.uri,
        "states": [one.state.value for one in results.evaluations],
    }
    sys.stdout.write(json.dumps(told) + "\n")

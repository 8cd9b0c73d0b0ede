"""Run under mpiexec by `test_external_executors`: messages that are unread when a run ends."""

from __future__ import annotations

import json
import sys
import uuid
from typing import Any

from hpdist.core.objective.objective import objective_of
from hpdist.executors.backends.external_executor import Connection
from hpdist.executors.backends.mpi import MpiBackend
from hpdist.executors.backends.packaging import package_objective


def objective(config: dict[str, Any], budget: float | None) -> float:
    """Return at once."""
    return float(config["x"])


def main() -> None:
    """Send a request about an order that is over, and end before the events of another are read."""
    events: list[dict[str, Any]] = []
    system = MpiBackend(Connection())
    slot, *_ = system.connect(package_objective(objective_of(objective), None, None), None)
    for _ in range(4):
        token = uuid.uuid4().hex
        slot.submit(token, json.dumps({"assignment": None}), events.append).result()
        for rank in (1, 2):
            slot.end_early(token, {"rank": rank}, None)
    system.close()
    sys.stdout.write(f"{len(events)} told\n")


if __name__ == "__main__":
    main()

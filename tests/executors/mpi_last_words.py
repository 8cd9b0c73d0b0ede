"""What `test_far_executors` runs under mpiexec: messages that nobody has read when a run ends."""

from __future__ import annotations

import json
import sys
import uuid
from typing import Any

from hpdist.core.objective.objective import objective_of
from hpdist.executors.backends.executor import Connection
from hpdist.executors.backends.mpi import MpiSystem
from hpdist.executors.backends.packaging import ship


def objective(config: dict[str, Any], budget: float | None) -> float:
    """Return at once."""
    return float(config["x"])


def main() -> None:
    """Send a wish about an order that is over, and end before the news of another are read."""
    news: list[dict[str, Any]] = []
    system = MpiSystem(Connection())
    post, *_ = system.connect(ship(objective_of(objective), None, None), None)
    for _ in range(4):
        token = uuid.uuid4().hex
        post.begin(token, json.dumps({"held": None}), news.append).result()
        for rank in (1, 2):
            post.tell(token, {"rank": rank}, None)
    system.close()
    sys.stdout.write(f"{len(news)} told\n")


if __name__ == "__main__":
    main()

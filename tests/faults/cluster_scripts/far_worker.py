"""A worker that knows the nameserver's address only: ``far_worker.py HOST PORT NIC``."""

from __future__ import annotations

import sys
from typing import Any

from hpdist import Worker

_, host, port, _ = sys.argv


def evaluate(config: dict[str, float], budget: float, ctx: Any) -> float:
    (ctx.directory / "model").write_text("trained here")
    return config["x"]


worker = Worker("far", host, int(port), isolation="none", directory=".", host="far-away")
worker.initialize(evaluate)
sys.stdout.write("up\n")
sys.stdout.flush()
worker.run()
assert worker.reason == "finished", worker.reason

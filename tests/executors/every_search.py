"""The search of `test_every_executor`: ``python every_search.py EXECUTOR WORKERS DIRECTORY``."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from typing import Any

from hpdist import minimize

KINDS = ["fine", "raise", "nan", "lock", "exit", "slow"]
FINE = [{"kind": "fine", "x": x / 10} for x in range(10)]
START = [*FINE[:3], *({"kind": kind, "x": 0.5} for kind in KINDS[1:4]), *FINE[3:]]
END = [{"kind": kind, "x": 0.5} for kind in KINDS[4:]]

#: These run the objective in the searching process itself, which nothing can protect from it.
UNPROTECTED = ("serial", "thread")


def objective(config: dict[str, Any], budget: float, ctx: Any) -> Any:
    """Do what the configuration says; the loss is the trial's seed."""
    kind = config["kind"]
    if kind == "raise":
        raise ValueError("too bad")
    if kind == "exit":
        os._exit(3)
    while kind == "slow":
        time.sleep(0.05)
    info = threading.Lock() if kind == "lock" else None
    return {"loss": float("nan") if kind == "nan" else float(ctx.seed), "info": info}


def main(executor: str, workers: int, directory: str) -> None:
    """Search, and print what came of each trial."""
    protected = executor not in UNPROTECTED
    configs = [*START, *(END if protected else ())]
    results = minimize(
        objective,
        {"kind": KINDS, "x": (0.0, 1.0)},
        executor=executor,
        workers=workers,
        job_timeout=1.0 if protected else None,
        initial_configs=configs,
        n_trials=len(configs),
        optimizer="random",
        run=directory,
        progress="none",
        seed=3,
    )
    frame = results.to_frame().sort_values("trial")
    columns = ["trial", "config.kind", "config.x", "loss", "failure"]
    rows = json.loads(frame[columns].to_json(orient="values"))
    sys.stdout.write(json.dumps({"reason": results.reason, "rows": rows}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])

"""A search whose evaluations wait for a file ``go``: run by the tests of signals.

Usage: python waiting_search.py DIRECTORY EXECUTOR
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from hpdist import Context, minimize


def main(directory: Path, executor: str) -> None:
    def objective(config: dict[str, Any], budget: float, ctx: Context) -> float:
        (directory / f"started-{ctx.trial_id}").write_text(str(os.getpid()))
        deadline = time.monotonic() + 60
        while not (directory / "go").exists():
            if time.monotonic() > deadline:
                raise TimeoutError("nobody said go")
            time.sleep(0.01)
        return float(config["x"])

    results = minimize(
        objective,
        {"x": (0.0, 1.0)},
        n_trials=3,
        workers=1,
        executor=executor,
        run=directory / "run",
    )
    sys.stdout.write(f"{results.reason} {len(results.evaluations)}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])

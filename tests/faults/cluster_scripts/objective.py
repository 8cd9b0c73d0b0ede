"""The objective: short, the same each time, and written down on its own, apart from hpdist.

While there is a file ``gate`` in the current directory, no evaluation ends.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

LOG, GATE = Path("evaluations.log"), Path("gate")


def note(**line: Any) -> None:
    """Append a line in one piece, also when many processes do so."""
    line |= {"at": time.time(), "pid": os.getpid(), "worker": os.getppid()}
    file = os.open(LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(file, json.dumps(line).encode() + b"\n")
    os.close(file)


def evaluate(config: dict[str, float], budget: float, ctx: Any) -> float:
    what = {"trial": ctx.trial_id, "budget": budget, "attempt": ctx.attempt}
    note(event="start", **what)
    time.sleep(0.02 + 0.06 * config["x"])
    if GATE.exists():
        note(event="held", **what)
    while GATE.exists():
        time.sleep(0.005)
    note(event="end", **what)
    return (config["x"] - 0.3) ** 2 + 1 / budget

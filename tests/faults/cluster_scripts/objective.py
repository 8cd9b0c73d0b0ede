"""The objective: short, the same each time, and written down on its own, apart from hpdist.

Files in the current directory direct it. While there is a file ``gate``, no evaluation ends;
while there is ``gate-<label>``, none of the worker of that label. ``pace`` holds the seconds that
one takes at least, ``poison.json`` names what the evaluations of some trials, or of ``all``, do to
their process.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

LOG, GATE, PACE, POISON = Path("evaluations.log"), Path("gate"), Path("pace"), Path("poison.json")
LABEL = os.environ.get("STAGE_LABEL", "")

space = {"x": (0.0, 1.0)}


def note(**line: Any) -> None:
    """Append a line in one piece, also when many processes do so."""
    worker = int(os.environ.get("STAGE_WORKER", os.getppid()))
    line |= {"at": time.time(), "pid": os.getpid(), "worker": worker, "label": LABEL}
    file = os.open(LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(file, json.dumps(line).encode() + b"\n")
    os.close(file)


def is_held() -> bool:
    return GATE.exists() or Path(f"gate-{LABEL}").exists()


def evaluate(config: dict[str, float], budget: float, ctx: Any) -> float:
    what = {"trial": ctx.trial_id, "budget": budget, "attempt": ctx.attempt}
    note(event="start", **what)
    least = float(PACE.read_text()) if PACE.exists() else 0.02
    time.sleep(least * (1 + 3 * config["x"]))
    if is_held():
        note(event="held", **what)
    while is_held():
        time.sleep(0.005)
    named = json.loads(POISON.read_text()) if POISON.exists() else {}
    poison = named.get(str(ctx.trial_id), named.get("all"))
    if poison:
        sys.path.insert(0, str(Path(__file__).parent))
        import poisons

        getattr(poisons, poison)()
    note(event="end", **what)
    return (config["x"] - 0.3) ** 2 + 1 / budget

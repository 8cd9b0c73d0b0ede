"""What runs are called, and where they go, when nobody says."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from hpdist.core.objective.objective import Objective

RUNS = Path("hpdist-runs")
"""Where runs go that are given no directory, below the current one."""


def default_directory(objective: Objective) -> Path:
    """Name a run after the program that makes it, or the objective where there is no program."""
    program = getattr(sys.modules.get("__main__"), "__file__", None)
    if program is None:
        return RUNS / safe_run_id(objective.name.rpartition(":")[2].rpartition(".")[2])
    path = Path(program).resolve()
    return RUNS / safe_run_id(path.parent.name if path.stem == "__main__" else path.stem)


def safe_run_id(name: str) -> str:
    """Return the run id closest to ``name``; see `check_run_id`."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).lstrip("-_")[:64].rstrip("-") or "run"

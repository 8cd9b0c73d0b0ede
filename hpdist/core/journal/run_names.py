"""Run ids: the check of their form, and the default run ids and directories."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.validation import short_repr
from hpdist.core.objective.objective import Objective

RUNS = Path("hpdist-runs")
"""The default directory of runs, below the current directory."""

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def default_directory(objective: Objective) -> Path:
    """Return the directory named after the program, or the objective if there is no program."""
    program = getattr(sys.modules.get("__main__"), "__file__", None)
    if program is None:
        return RUNS / safe_run_id(objective.name.rpartition(":")[2].rpartition(".")[2])
    path = Path(program).resolve()
    return RUNS / safe_run_id(path.parent.name if path.stem == "__main__" else path.stem)


def safe_run_id(name: str) -> str:
    """Return the run id closest to ``name``; see `check_run_id`."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).lstrip("-_")[:64].rstrip("-") or "run"


def check_run_id(run_id: object) -> str:
    """Return ``run_id`` if it is valid as a run id, a directory and an entry of the nameserver.

    Raises
    ------
    ConfigurationError
        If it is not 1 to 64 letters, digits, ``_`` and ``-``, the first of which is a letter or
        digit.
    """
    if isinstance(run_id, str) and _RUN_ID.fullmatch(run_id):
        return run_id
    raise ConfigurationError(
        f"{short_repr(run_id)} cannot name a run",
        cause="it names a directory and an entry of the nameserver as well",
        do="use 1 to 64 letters, digits, '_' and '-', beginning with a letter or digit",
    )

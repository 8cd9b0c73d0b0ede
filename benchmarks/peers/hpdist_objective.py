"""The objective of ``hpdist_role.py``: as that of ``hpbandster_role.py``, in a child process."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

JOB_S = 0.3

MISDEEDS: dict[str, Callable[[], Any]] = {
    "exit": lambda: os._exit(3),
    "segfault": lambda: os.kill(os.getpid(), 11),
    "sys.exit": lambda: sys.exit(3),
    "none": lambda: None,
    "text": lambda: {"loss": "small", "info": {}},
    "nan": lambda: {"loss": float("nan"), "info": {}},
}


def note(event: str, job: int) -> None:
    with open("evaluations.log", "a") as log:
        line = {"event": event, "job": job, "at": time.time(), "pid": os.getpid()}
        log.write(json.dumps(line) + "\n")


def misdeed() -> Callable[[], Any] | None:
    for name, deed in MISDEEDS.items():
        with suppress(FileNotFoundError):
            os.unlink("misdeed-" + name)
            return deed
    return None


def evaluate(config: dict[str, float], budget: float, ctx: Any) -> Any:
    note("start", ctx.trial_id)
    deed = misdeed()
    if deed is not None:
        return deed()
    time.sleep(JOB_S)
    note("end", ctx.trial_id)
    return (config["x"] - 0.3) ** 2

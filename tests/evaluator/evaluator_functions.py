"""Run functions for the tests of evaluators; in a module, so that other processes find them."""

from __future__ import annotations

import asyncio
import math
import os
import threading
from pathlib import Path
from typing import Any

from hpdist.evaluator import profile

#: Set at the end of a test, so that no thread outlives it.
RELEASED = threading.Event()


def square(job: Any, offset: float = 0.0) -> float:
    return offset - job["x"] ** 2


def poisoned(job: Any) -> Any:
    if job["x"] == "raise":
        raise ValueError("no such luck")
    if job["x"] == "os._exit":
        os._exit(3)
    return {"nan": math.nan, "F": "F_unstable", "text": "good", "pair": (1, 2.5), "bool": True}.get(
        job["x"], 1.0
    )


def told(job: Any) -> dict[str, Any]:
    names = [*job]
    seen = {"names": names, "id": job["job_id"], "got": job.get("job_id"), "pid": os.getpid()}
    return {"objective": 1.0, "metadata": seen}


async def awaiting(job: Any) -> float:
    await asyncio.sleep(0)
    return float(job["x"])


@profile
def profiled(job: Any) -> float:
    return float(job["x"])


def patient(job: Any) -> float:
    """Never ends by itself; tells that it has begun by a file."""
    Path(job["begun"]).touch()
    RELEASED.wait()
    return 1.0

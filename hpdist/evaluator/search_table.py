"""The jobs of a search as a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hpdist.evaluator.job import Job

if TYPE_CHECKING:
    import pandas as pd

TIMES = ("timestamp_submit", "timestamp_gather", "timestamp_start", "timestamp_end")


def table(jobs: Sequence[Job], names: Sequence[str], num_objectives: int) -> pd.DataFrame:
    """Return a row for each job: ``p:*``, ``objective``, ``job_id``, ``job_status``, ``m:*``."""
    import pandas as pd

    metadata = dict.fromkeys(TIMES) | {name: None for job in jobs for name in job.metadata}
    columns = [*(f"p:{name}" for name in names), *_objectives(num_objectives)]
    columns += ["job_id", "job_status", *(f"m:{name}" for name in metadata)]
    frame = pd.DataFrame([_row(job, num_objectives) for job in jobs], columns=columns)
    numbers = [*_objectives(num_objectives), *(f"m:{name}" for name in TIMES)]
    return frame.astype(dict.fromkeys(numbers, float))


def _objectives(number: int) -> list[str]:
    return ["objective"] if number == 1 else [f"objective_{index}" for index in range(number)]


def _row(job: Job, num_objectives: int) -> dict[str, Any]:
    values = job.objective if isinstance(job.objective, tuple) else (job.objective,)
    if job.failure is not None:
        values = (math.nan,) * num_objectives
    return {
        **{f"p:{name}": value for name, value in job.args.items()},
        **dict(zip(_objectives(num_objectives), values, strict=True)),
        "job_id": job.id,
        "job_status": job.job_status,
        **{f"m:{name}": value for name, value in job.metadata.items()},
    }

"""What `test_every_evaluator` runs: ``python every_evaluator.py METHOD``."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from hpdist.evaluator import Evaluator, profile


@profile
def run(job: Any, factor: int = 2) -> float:
    """Return what is asked for, or end as is asked for."""
    if job["x"] == 3:
        os._exit(4)
    if job["x"] == 4:
        raise ValueError("too bad")
    return float(-job["x"] * factor)


def main(method: str) -> None:
    """Evaluate five jobs, and print what came of them."""
    options = {"num_workers": 2, "run_function_kwargs": {"factor": 3}}
    with Evaluator.create(run, method=method, method_kwargs=options) as evaluator:
        evaluator.submit([{"x": x} for x in range(5)])
        jobs = evaluator.gather("ALL")
        assert isinstance(jobs, list)
        told = sorted((job.args["x"], job.job_status, job.objective) for job in jobs)
        times = [
            job.metadata["timestamp_submit"]
            <= job.metadata["timestamp_start"]
            <= job.metadata["timestamp_end"]
            for job in jobs
            if job.job_status == "completed"
        ]
    sys.stdout.write(json.dumps([told, times]) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])

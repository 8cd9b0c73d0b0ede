"""An evaluator alone, without a search: ``python evaluator_processes.py``.

Two processes work off eight jobs, which are gathered as they end. One kills its process: that is
this job's failure, and the evaluator goes on with a new process.
"""

import os

from hpdist.evaluator import ProcessPoolEvaluator


def run(job, offset=0):
    if job["x"] == 3:
        os._exit(1)  # as a crash of C code would
    return offset - (job["x"] - 2) ** 2


if __name__ == "__main__":
    with ProcessPoolEvaluator(run, num_workers=2, run_function_kwargs={"offset": 10}) as evaluator:
        evaluator.submit([{"x": x} for x in range(8)])
        while evaluator.num_jobs_gathered < evaluator.num_jobs_submitted:
            for job in evaluator.gather("BATCH", size=2):
                why = "" if job.failure is None else f" ({job.failure.message})"
                print(f"job {job.id}: x={job.args['x']} {job.job_status} {job.objective}{why}")

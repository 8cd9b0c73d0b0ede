"""How many jobs a second, and how long from one job to the next?

    python -m benchmarks.throughput [--workers 8] [--jobs 4000] [--isolation none]

Jobs that do nothing, through `Master` with its journal on a real disk and the key on; worker
processes over loopback. Jobs a second are counted from the journal, between the first and the last
result; gaps are measured in the worker, from the end of one evaluation to the start of the next.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import resource
import statistics
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from hpdist.cluster.nameserver import NameServer
from hpdist.cluster.worker import Worker
from hpdist.core.journal.reader import read_journal
from hpdist.core.model.events import AttemptEnded

RUN = "throughput"


def nothing(config: dict[str, float]) -> float:
    """Return a loss without any work."""
    return config["x"]


def work(directory: str, number: int, isolation: str, prefetch: int) -> None:
    """Be one worker process; note its processor time at the end."""
    worker = Worker(RUN, worker_id=number, isolation=isolation, prefetch=prefetch)
    worker.initialize(nothing)
    worker.load_nameserver_credentials(directory)
    worker.run()


def measure(workers: int, jobs: int, isolation: str, prefetch: int, directory: Path) -> dict:
    """Run ``jobs`` jobs on ``workers`` processes, and return what the journal says of it."""
    from hpdist.cluster.master import Master
    from hpdist.core.space.space import Space
    from hpdist.multi_fidelity import SingleFidelity
    from hpdist.optimizers import RandomSearch

    spawn = multiprocessing.get_context("spawn")
    space = Space.of({"x": (0.0, 1.0), "y": (0.0, 1.0), "units": (16, 512), "kind": ["a", "b"]})
    with NameServer(RUN, directory):
        processes = [
            spawn.Process(target=work, args=(str(directory), number, isolation, prefetch))
            for number in range(workers)
        ]
        for process in processes:
            process.start()
        master = Master(
            RUN,
            RandomSearch(space),
            SingleFidelity(num_configs=jobs),
            working_directory=directory,
            nameserver=None,
        )
        master.wait_for_workers(workers)
        cpu = time.process_time()
        master.run(1, min_n_workers=workers)
        cpu = time.process_time() - cpu
        master.shutdown(shutdown_workers=True)
        for process in processes:
            process.join()
    worker_cpu = sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
    ends = [
        (at, record)
        for at, record in read_journal(directory / RUN / "journal").records
        if isinstance(record, AttemptEnded) and record.final
    ]
    assert len(ends) == jobs, f"{len(ends)} results of {jobs}"
    return {
        "jobs_per_s": (jobs - 1) / (ends[-1][0] - ends[0][0]),
        "master_cpu_us": 1e6 * cpu / jobs,
        "worker_cpu_us": 1e6 * worker_cpu / jobs,
        "gap_ms": 1e3 * median_gap([record for _, record in ends]),
    }


def median_gap(ends: list[AttemptEnded]) -> float:
    """Median seconds from the end of an evaluation to the start of the next on its worker."""
    last: dict[str, float] = {}
    gaps = []
    for record in sorted(ends, key=lambda record: record.started):
        if record.worker_id in last:
            gaps.append(record.started - last[record.worker_id])
        last[record.worker_id] = record.started + record.seconds
    return statistics.median(gaps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--jobs", type=int, default=4000)
    parser.add_argument("--isolation", choices=("none", "process"), default="none")
    parser.add_argument("--prefetch", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--directory", type=Path, help="where the journal is; default: a new one")
    options = parser.parse_args()
    results = []
    for _ in range(options.repeats):
        with tempfile.TemporaryDirectory(dir=options.directory or Path.cwd()) as directory:
            results.append(
                measure(
                    options.workers,
                    options.jobs,
                    options.isolation,
                    options.prefetch,
                    Path(directory),
                )
            )
        print(json.dumps({name: round(value, 2) for name, value in results[-1].items()}))
    print(
        f"median {statistics.median(result['jobs_per_s'] for result in results):.0f} jobs/s, "
        f"gap {statistics.median(result['gap_ms'] for result in results):.2f} ms; "
        f"{options.workers} workers, isolation={options.isolation}, prefetch={options.prefetch}, "
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
        f"Python {platform.python_version()}, Pyro4 {version('Pyro4')}"
    )


if __name__ == "__main__":
    main()

"""How many of hpdist's own files and calls does one job cross in the searching process?

    python -m benchmarks trip [--executor process,thread] [--jobs 50] [--tree]

A call is a profiler's "call" event whose code lies in the package, in any thread of the searching
process: a function that is entered, a comprehension, or a generator that is resumed. Methods that
dataclasses generate lie in no file and do not count, nor do calls of other libraries. *calls* are
all own calls from the end of job 10 to the end of job 60, divided by 50. *files* are those that at
least half of these 50 jobs enter, where a job lasts from the settling of the one before it to its
own: heartbeats, checks that are due now and then, and both ends of the run are no part of it. There
is one worker, and configurations are random, so that the optimizer hardly counts.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import hpdist
from benchmarks.quality.tables import table

PACKAGE = f"{Path(hpdist.__file__).parent}/"

WARM_UP, REST = 10, 10
"""Jobs before the measured ones, which start workers and fill caches, and jobs after them."""

Call = tuple[str, str]
"""The file, as named in the package, and the function."""


@dataclass(frozen=True)
class Trip:
    """The own calls of each measured job."""

    windows: Sequence[Sequence[Call]]

    @property
    def jobs(self) -> int:
        return len(self.windows)

    @property
    def calls(self) -> float:
        """How many own calls a job makes."""
        return sum(len(window) for window in self.windows) / self.jobs

    @property
    def files(self) -> set[str]:
        """The files that at least half of the jobs enter."""
        entered = Counter(file for window in self.windows for file in {file for file, _ in window})
        return {file for file, jobs in entered.items() if 2 * jobs >= self.jobs}

    def tree(self) -> str:
        """List all files and their functions with their calls a job, the most called first."""
        functions: dict[str, Counter[str]] = defaultdict(Counter)
        for file, name in (call for window in self.windows for call in window):
            functions[file][name] += 1
        lines = []
        for file, total in _ranked({file: names.total() for file, names in functions.items()}):
            seldom = "" if file in self.files else "  (in less than half of the jobs)"
            lines.append(f"{total / self.jobs:7.2f}  {file}{seldom}")
            for name, count in _ranked(functions[file]):
                lines.append(f"{count / self.jobs:15.2f}  {name}")
        return "\n".join(lines)


def _ranked(counts: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def measure(executor: str, jobs: int = 50) -> Trip:
    """Search with one worker, and record the own calls.

    Parameters
    ----------
    executor
        Its name, as `hpdist.minimize` takes it.
    jobs
        How many jobs are measured, after those of the warm-up.

    Returns
    -------
    trip
        The own calls of each of these jobs.
    """
    codes: list[CodeType] = []
    ends: list[int] = []

    def record_call(frame: FrameType, event: str, _: object) -> None:
        # At each call of each thread: appending takes no lock, and names can wait.
        if event == "call" and frame.f_code.co_filename.startswith(PACKAGE):
            codes.append(frame.f_code)

    with _profiled(record_call):
        _search(executor, WARM_UP + jobs + REST, lambda _: ends.append(len(codes)))
    bounds = ends[WARM_UP - 1 : WARM_UP + jobs]
    return Trip([[_named(code) for code in codes[start:end]] for start, end in pairwise(bounds)])


@contextmanager
def _profiled(record_call: Callable[[FrameType, str, Any], None]) -> Iterator[None]:
    """Let a function record all calls in this thread and in those started meanwhile."""
    here, elsewhere = sys.getprofile(), threading.getprofile()
    threading.setprofile(record_call)
    sys.setprofile(record_call)
    try:
        yield
    finally:
        sys.setprofile(here)
        threading.setprofile(elsewhere)


def _search(executor: str, trials: int, settled: Callable[[object], None]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        hpdist.minimize(objective, {"x": (0.0, 1.0)}, n_trials=trials, executor=executor,
            workers=1, optimizer="random", run=Path(directory) / "run", progress="none",
            callbacks=[settled])  # fmt: skip


def objective(config: dict[str, float]) -> float:
    """Return a loss without any work."""
    return config["x"]


def _named(code: CodeType) -> Call:
    # Python 3.10 has no qualified names.
    return code.co_filename.removeprefix(PACKAGE), getattr(code, "co_qualname", code.co_name)


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks trip", description=__doc__)
    parser.add_argument("--executor", default="process,thread,serial,loky,cluster,folder")
    parser.add_argument("--jobs", type=int, default=50)
    parser.add_argument("--tree", action="store_true", help="list files and functions, too")
    chosen = parser.parse_args(arguments)
    trips = {name: measure(name, chosen.jobs) for name in chosen.executor.split(",")}
    lines = [[name, str(len(trip.files)), f"{trip.calls:.1f}"] for name, trip in trips.items()]
    print(table([["executor", "files", "calls"], *lines]))
    for name, trip in trips.items() if chosen.tree else ():
        print(f"\n{name}, calls a job:\n\n{trip.tree()}")

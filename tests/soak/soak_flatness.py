"""Does a process use more and more? Robust fits over samples of its memory, threads and files."""

from __future__ import annotations

import statistics
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any

Sample = dict[str, Any]

#: Of a life this share is looked at, at most: what a process does at first says nothing of what
#: follows.
SHARE = 0.8

#: Fewer samples than these are no evidence.
LEAST_SAMPLES = 9

#: A master keeps each job in its books: trial, job, outcome, their places in study and dispatch,
#: about 2.5 KiB by measurement. A worker keeps the numbers of its attempts, about 150 bytes.
BYTES_A_JOB = {"master": 4 * 1024, "worker": 512}

#: What an allocator that takes pages and gives some back may add to that, once.
SLACK_BYTES = 4 * 1024 * 1024

#: From so many jobs on the growth for each of them is a figure that means something.
MANY_JOBS = 1000

#: Connections come and go all the time; one kept for each worker that died would exceed this.
SPREAD, SPREAD_SHARE = 4, 0.05

#: A master has so many threads and files, and one of each for each of a worker's connections.
OWN, CONNECTIONS_A_WORKER = 10, 2

_MOST_POINTS = 400


def judge_samples(
    samples: Sequence[Sample], finished: Sequence[float], warm_up_s: float, workers: int
) -> tuple[list[str], Sample]:
    """Return complaints, and what was measured.

    Parameters
    ----------
    finished
        When each job was settled, in order.
    warm_up_s
        How long a process needs from its start until everybody is there, if nothing delays it.
    """
    complaints: list[str] = []
    figures: Sample = {"lives": 0}
    for (who, pid), life in _lives(samples, warm_up_s).items():
        begin, end = life[0]["at"], life[-1]["at"]
        jobs = bisect_right(finished, end) - bisect_right(finished, begin)
        figures["lives"] += 1
        _note(figures, f"{who}, most KiB", life[-1]["rss"] // 1024)
        connected = OWN + CONNECTIONS_A_WORKER * workers if who == "master" else 0
        for what, grown, allowed in _growths(life, BYTES_A_JOB[who] * jobs, connected):
            _note(figures, f"{who}, grown by {what}", round(grown))
            if grown > allowed:
                complaints.append(f"{who} {pid} leaks {what}: {grown:.0f} more in {jobs} jobs")
            if what == "bytes" and jobs >= MANY_JOBS:
                _note(figures, f"{who}, bytes a job", round(grown / jobs))
    if not figures["lives"]:
        complaints.append("no process was watched for long enough to say whether it leaks")
    return complaints, figures


def _growths(
    life: Sequence[Sample], due: int, connected: int
) -> Iterator[tuple[str, float, float]]:
    """What grew by how much in a life, and what is allowed.

    So many bytes are due for the jobs of this time, and so many threads and files are there when
    all workers are connected, who may come late.
    """
    times = _column(life, "at")
    yield "bytes", _slope(times, _column(life, "rss")) * (times[-1] - times[0]), SLACK_BYTES + due
    for what in ("threads", "fds"):
        first, last = _levels(_column(life, what))
        yield what, last - first, max(SPREAD + SPREAD_SHARE * first, connected - first)


def _note(figures: Sample, name: str, value: float) -> None:
    """Keep the largest one."""
    figures[name] = max(figures.get(name, value), value)


def _lives(samples: Sequence[Sample], warm_up_s: float) -> dict[tuple[str, int], list[Sample]]:
    """The samples of each process after its warm-up, if they are enough."""
    lives: dict[tuple[str, int], list[Sample]] = {}
    for sample in samples:
        lives.setdefault((sample["who"], sample["pid"]), []).append(sample)
    for key, life in lives.items():
        began, ended = life[0]["at"], life[-1]["at"]
        warm = max(began + warm_up_s, ended - SHARE * (ended - began))
        lives[key] = [sample for sample in life if sample["at"] >= warm]
    return {key: life for key, life in lives.items() if len(life) >= LEAST_SAMPLES}


def _column(life: Sequence[Sample], name: str) -> list[float]:
    return [float(sample[name]) for sample in life]


def _slope(x: Sequence[float], y: Sequence[float]) -> float:
    """The median of the slopes between all pairs of points: no outlier moves it."""
    from scipy.stats import theilslopes

    step = -(-len(x) // _MOST_POINTS)
    if len(set(x[::step])) < 2:
        return 0.0
    return float(theilslopes(y[::step], x[::step]).slope)


def _levels(values: Sequence[float]) -> tuple[float, float]:
    """The medians of the first and of the last third."""
    third = len(values) // 3
    return statistics.median(values[:third]), statistics.median(values[-third:])

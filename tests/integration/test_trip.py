"""A job's trip through the searching process gets no longer: ``python -m benchmarks trip``."""

from __future__ import annotations

import pytest

#: The most files and calls a job may cross: a tenth above what there were with Python 3.11.
MOST = {"process": (48, 274), "thread": (44, 245)}


@pytest.mark.parametrize("executor", MOST)
def test_a_job_crosses_no_more_files_and_calls_than_it_may(executor: str) -> None:
    from benchmarks.trip import measure

    trip = measure(executor)
    files, calls = MOST[executor]
    assert trip.jobs == 50
    assert 0 < len(trip.files) <= files, trip.tree()
    assert 0 < trip.calls <= calls, trip.tree()


def test_what_few_jobs_enter_is_among_the_calls_but_no_file_of_the_trip() -> None:
    from benchmarks.trip import Trip

    steady, seldom = ("loop.py", "Loop.turn"), ("progress.py", "Progress.draw")
    trip = Trip([[steady, steady], [steady, seldom], [steady], [steady]])
    assert trip.files == {"loop.py"}
    assert trip.calls == 1.5
    assert trip.tree().splitlines() == [
        "   1.25  loop.py",
        "           1.25  Loop.turn",
        "   0.25  progress.py  (in less than half of the jobs)",
        "           0.25  Progress.draw",
    ]

"""What the tests with a simulated disk share: processes that end where they are told to."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hpdist.core.journal.format import FORMAT
from hpdist.core.journal.journal import Journal
from hpdist.core.model.events import AttemptEnded, AttemptStarted, JobCreated, Record, RunCreated
from hpdist.core.model.states import FailureKind
from hpdist.core.model.values import Failure, Job, Success, Trial
from hpdist.testing.simulated_disk import Dead, SimulatedDisk, SimulatedProcess

PATH = Path("/runs/r/journal")


def job(number: int) -> list[Record]:
    """The records of an evaluation, which differ in length from each other."""
    trial = Trial(number, (0, 0, number), {"x": 0.5**number}, {"origin": "random"})
    success = Success(number / 3, info={"text": "{\n} 0000000a 00000000 {" + "=" * 30 * number})
    return [
        JobCreated(Job(number, number, 1.0), trial),
        AttemptStarted(number, 1, "w"),
        AttemptEnded(number, 1, "w", success if number % 2 else _failure(number)),
    ]


def _failure(number: int) -> Failure:
    return Failure(FailureKind.CRASH, f"killed by {number}")


HEADER: Record = RunCreated(FORMAT, "r", {"x": [0, 1]})
#: What one life commits, and the next one: batches of one, two and three records.
FIRST = [[HEADER], job(0)]
SECOND = [job(1)[:1], job(1)[1:], job(2), [*job(3)[:1], *job(4)]]


@dataclass
class Told:
    """What a process said of its journal: ``safe`` records are those a commit returned for."""

    written: list[Record] = field(default_factory=list)
    safe: int = 0


def live(process: SimulatedProcess, batches: Sequence[Sequence[Record]], told: Told) -> None:
    """Open the journal, commit batch after batch, and close it."""
    journal = Journal.open(PATH, disk=process)
    for batch in batches:
        for record in batch:
            told.written.append(record)
            journal.append(record, 7.0)
        journal.commit()
        told.safe = len(told.written)
    journal.close()


def begun(seed: int) -> tuple[SimulatedDisk, Told]:
    """A disk with a journal on it that one process began and closed."""
    disk, told = SimulatedDisk(seed), Told()
    live(disk.process(), FIRST, told)
    return disk, told


def count_calls(act: Callable[[SimulatedProcess], object], disk: SimulatedDisk) -> list[str]:
    """The calls that ``act`` makes when nothing goes wrong."""
    calls: list[str] = []
    disk.before = lambda call, process: calls.append(call)
    act(disk.process())
    disk.before = lambda call, process: None
    return calls


def at_call(number: int, disk: SimulatedDisk, action: Callable[[], object]) -> None:
    """Let ``action`` happen once, before the call of that number from now on, counted from 0."""
    left = [number]

    def before(call: str, process: SimulatedProcess) -> None:
        left[0] -= 1
        if left[0] == -1:
            action()

    disk.before = before


def die(disk: SimulatedDisk, *, machine: bool) -> None:
    """End the process that makes this call, and the machine with it or not."""
    if machine:
        disk.crash()
    raise Dead


def fail(number: int) -> None:
    raise OSError(number, os.strerror(number))


def until_dead(act: Callable[[], object]) -> bool:
    """Whether ``act`` was ended by the death of its process."""
    try:
        act()
    except Dead:
        return True
    return False


def check_recovered(disk: SimulatedDisk, told: Told) -> None:
    """Nothing safe is lost, nothing is read that was not written, and appending works."""
    disk.before, disk.room = (lambda call, process: None), -1
    journal = Journal.open(PATH, disk=disk.process())
    found = [record for _, record in journal.records]
    assert found == told.written[: len(found)], "something was read that was not written"
    assert len(found) >= told.safe, "what a commit had returned for is lost"
    last: Record = AttemptStarted(99, 1, "last")
    journal.append(last, 8.0)
    journal.commit()
    disk.crash()
    again = Journal.open(PATH, disk=disk.process())
    assert [record for _, record in again.records] == [*found, last]
    again.close()


ERRORS = {"write": (errno.ENOSPC, errno.EIO), "sync": (errno.EIO, errno.ENOSPC)}
ERRORS |= {"truncate": (errno.EIO,)}

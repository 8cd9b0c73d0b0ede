"""A journal on a simulated disk: killed or cut off from power at any call, failing at any call."""

from __future__ import annotations

import errno

import pytest
from disk_scene import (
    ERRORS,
    FIRST,
    PATH,
    SECOND,
    Told,
    at_call,
    begun,
    check_recovered,
    count_calls,
    die,
    fail,
    job,
    live,
    until_dead,
)
from repeated import tried_with

from hpdist.core.journal.disk import Disk
from hpdist.core.journal.journal import Journal
from hpdist.core.journal.repair import repair
from hpdist.core.model.errors import JournalDamaged, JournalError, JournalFull
from hpdist.core.model.events import RunResumed
from hpdist.testing.simulated_disk import SimulatedDisk, SimulatedProcess

CALLS = count_calls(lambda process: live(process, SECOND, Told()), begun(0)[0])
OPENING = count_calls(lambda process: Journal.open(PATH, disk=process).close(), begun(0)[0])
WAYS = pytest.mark.parametrize("machine", [False, True], ids=["process", "machine"])


def test_the_simulated_process_leaves_no_call_to_the_real_disk() -> None:
    calls = [name for name, value in vars(Disk).items() if callable(value)]
    assert len(calls) > 10
    assert set(calls) <= vars(SimulatedProcess).keys()


def test_the_calls_are_those_that_are_thought_of() -> None:
    assert set(CALLS) >= {"open", "lock", "sync", "write", "status", "unlock", "close"}
    assert len(CALLS) > 30


@WAYS
@tried_with("seed", range(6))
def test_an_end_at_any_call_of_the_first_life_loses_nothing_that_was_safe(
    seed: int, machine: bool
) -> None:
    calls = count_calls(lambda process: live(process, FIRST, Told()), SimulatedDisk())
    for number in range(len(calls)):
        disk, told = SimulatedDisk(seed), Told()
        at_call(number, disk, lambda disk=disk: die(disk, machine=machine))
        assert until_dead(lambda disk=disk, told=told: live(disk.process(), FIRST, told))
        check_recovered(disk, told)


@WAYS
@tried_with("seed", range(12))
def test_an_end_at_any_call_loses_nothing_that_was_safe(seed: int, machine: bool) -> None:
    for number in range(len(CALLS)):
        disk, told = begun(seed)
        at_call(number, disk, lambda disk=disk: die(disk, machine=machine))
        assert until_dead(lambda disk=disk, told=told: live(disk.process(), SECOND, told))
        check_recovered(disk, told)


@pytest.mark.slow
@tried_with("seed", range(3))
@pytest.mark.parametrize("ways", [(False, True), (True, False), (True, True)])
def test_an_end_at_any_call_of_the_recovery_loses_nothing_either(
    seed: int, ways: tuple[bool, bool]
) -> None:
    first, second = ways
    for number in range(len(CALLS)):
        for later in range(len(OPENING)):
            disk, told = begun(1000 * seed + later)
            at_call(number, disk, lambda disk=disk: die(disk, machine=first))
            until_dead(lambda disk=disk, told=told: live(disk.process(), SECOND, told))
            at_call(later, disk, lambda disk=disk: die(disk, machine=second))
            until_dead(lambda disk=disk: Journal.open(PATH, disk=disk.process()).close())
            check_recovered(disk, told)


@WAYS
@pytest.mark.parametrize(
    ("call", "number"), [(call, number) for call, numbers in ERRORS.items() for number in numbers]
)
def test_an_error_at_any_call_is_told_and_loses_nothing(
    call: str, number: int, machine: bool
) -> None:
    happened = 0
    for place, name in enumerate(CALLS):
        if name != call:
            continue
        for seed in range(6):
            disk, told = begun(seed)
            at_call(place, disk, lambda number=number: fail(number))
            process = disk.process()
            with pytest.raises(JournalError):
                live(process, SECOND, told)
            happened += 1
            process.die()
            if machine:
                disk.crash()
            check_recovered(disk, told)
    assert happened or call == "truncate"  # which comes only after another fault


@tried_with("free", range(0, 700, 7))
def test_a_disk_that_is_full_after_any_number_of_bytes_loses_nothing(free: int) -> None:
    disk, told = begun(free)
    process = disk.process()
    journal = Journal.open(PATH, disk=process)
    full = 0
    disk.room = free
    for batch in SECOND:
        for record in batch:
            told.written.append(record)
            journal.append(record, 7.0)
        try:
            journal.commit()
        except JournalFull:
            full += 1
            disk.room = -1
            continue  # as the loop does: the next commit writes it all
        told.safe = len(told.written)
    assert full == (free < 700)
    journal.close()
    assert len(Journal.open(PATH, disk=disk.process()).records) == len(told.written)
    disk.crash()
    check_recovered(disk, told)


@tried_with("seed", range(10))
def test_a_master_that_wakes_from_a_full_disk_cuts_nothing_of_another_ones(seed: int) -> None:
    for number in range(6):
        disk, told = begun(seed)
        first = Journal.open(PATH, disk=disk.process())
        disk.room = 30
        assert not commit(first, told, job(3))
        disk.room = -1
        at_call(number, disk, lambda disk=disk, told=told: second_master(disk, told))
        commit(first, told, job(4))
        check_two(disk, told)


@tried_with("seed", range(40))
def test_what_a_failed_sync_left_in_memory_is_not_believed(seed: int) -> None:
    """The kernel calls pages clean that it could not write, and the next sync a success."""
    disk, told = begun(seed)
    journal = Journal.open(PATH, disk=disk.process())
    for record in job(1):
        journal.append(record, 7.0)
        told.written.append(record)
    disk.before = lambda call, process: fail(errno.EIO) if call == "sync" else None
    with pytest.raises(JournalError):
        journal.commit()
    disk.before = lambda call, process: None
    journal.close()
    believed = Journal.open(PATH, disk=disk.process()).records
    disk.crash()
    assert Journal.open(PATH, disk=disk.process()).records == believed
    disk.crash()
    check_recovered(disk, told)


@WAYS
@tried_with("seed", range(30))
def test_with_rarer_syncs_a_machine_may_take_results_and_never_the_order(
    seed: int, machine: bool
) -> None:
    disk, told = begun(seed)
    journal = Journal.open(PATH, disk=disk.process(), sync_every=3)
    for number in range(1, 3):
        for record in job(number):
            journal.append(record, 7.0)
            told.written.append(record)
            journal.commit()
    if machine:
        disk.crash()
    else:
        told.safe = len(told.written)
        journal._disk.die()
    check_recovered(disk, told)


# ------------------------------------------------------------------ two writers


def second_master(disk: SimulatedDisk, told: Told) -> Journal | None:
    """Somebody removed the lock, and another master takes the run over; None if it cannot."""
    disk.names.pop(PATH.with_name("lock"), None)
    try:
        journal = Journal.open(PATH, disk=disk.process())
        commit(journal, told, [RunResumed(2, 1, "b"), *job(7)])
    except JournalError:
        return None
    return journal


def commit(journal: Journal, told: Told, records: list) -> bool:
    """Whether a commit said that the records are safe."""
    for record in records:
        journal.append(record, 7.0)
    try:
        journal.commit()
    except JournalError:
        return False
    told.written += records
    return True


def check_two(disk: SimulatedDisk, told: Told) -> None:
    """All that either master was told is safe is there, after repair if it must be."""
    disk.before = lambda call, process: None
    disk.crash()
    try:
        journal = Journal.open(PATH, disk=disk.process())
    except JournalDamaged:
        repair(PATH, disk.process())
        journal = Journal.open(PATH, disk=disk.process())
    found = [repr(record) for _, record in journal.records]
    assert [record for record in map(repr, told.written) if record not in found] == []
    assert len(set(found)) == len(found)


@tried_with("seed", range(10))
def test_a_second_master_at_any_call_of_the_first_ones_commit_costs_no_safe_record(
    seed: int,
) -> None:
    fenced = 0
    for number in range(8):
        disk, told = begun(seed)
        first = Journal.open(PATH, disk=disk.process())
        begin = len(told.written)
        at_call(number, disk, lambda disk=disk, told=told: second_master(disk, told))
        one = commit(first, told, job(3))
        two = commit(first, told, job(4))
        there = any(isinstance(record, RunResumed) for record in told.written[begin:])
        assert not (there and two), "two masters went on at once"
        fenced += there and not one
        check_two(disk, told)
    assert fenced, "the first was never stopped: this shows nothing"


@tried_with("seed", range(10))
def test_a_first_master_that_wakes_at_any_call_of_the_second_costs_no_safe_record(
    seed: int,
) -> None:
    stopped = 0
    for number in range(24):
        disk, told = begun(seed)
        first = Journal.open(PATH, disk=disk.process())
        at_call(number, disk, lambda first=first, told=told: commit(first, told, job(3)))
        second = second_master(disk, told)
        disk.before = lambda call, process: None
        both = commit(first, told, job(4)) and second and commit(second, told, job(5))
        assert not both, "two masters went on at once"
        stopped += second is None
        check_two(disk, told)
    assert stopped, "the second was never stopped: this shows nothing"


@tried_with("number", range(16))
def test_who_stands_still_while_opening_keeps_others_out(number: int) -> None:
    """He may be about to cut a torn tail, and would cut off what they wrote."""
    disk, told = begun(number)
    file = disk.names[PATH]
    for data in (file.data, file.durable):
        data += b"00000"
    at_call(number, disk, lambda: second_master(disk, told))
    process = disk.process()
    try:
        Journal.open(PATH, disk=process)
    except JournalError:
        process.die()
    check_two(disk, told)

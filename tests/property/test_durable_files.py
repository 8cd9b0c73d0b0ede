"""Repairs, notes and keys on a simulated disk, ended at any call: whole or absent, and no loss."""

from __future__ import annotations

from pathlib import Path

import pytest
from disk_scene import FIRST, PATH, at_call, begun, count_calls, die, until_dead
from repeated import tried_with

from hpdist.core.journal.durable_files import create_file, replace_file
from hpdist.core.journal.journal import Journal
from hpdist.core.journal.repair import repair
from hpdist.testing.simulated_disk import SimulatedDisk

WAYS = pytest.mark.parametrize("machine", [False, True], ids=["process", "machine"])


def damaged(seed: int) -> tuple[SimulatedDisk, bytes]:
    """A disk whose journal has a wrong bit in its second record."""
    disk, _ = begun(seed)
    file = disk.names[PATH]
    for data in (file.data, file.durable):
        data[data.index(b"\n") + 60] ^= 1
    return disk, bytes(file.durable)


@WAYS
@tried_with("seed", range(6))
def test_an_end_at_any_call_of_a_repair_loses_neither_records_nor_the_copy(
    seed: int, machine: bool
) -> None:
    calls = count_calls(lambda process: repair(PATH, process), damaged(0)[0])
    assert {"truncate", "rename"} <= set(calls)
    for number in range(len(calls)):
        disk, before = damaged(seed)
        at_call(number, disk, lambda disk=disk: die(disk, machine=machine))
        assert until_dead(lambda disk=disk: repair(PATH, disk.process()))
        disk.before = lambda call, process: None
        disk.crash()
        copies = [disk.read(path) for path in disk.paths() if "damaged-" in path.name]
        assert disk.read(PATH) == before or before in copies, "what was cut off is gone"
        repair(PATH, disk.process())
        journal = Journal.open(PATH, disk=disk.process())
        assert [record for _, record in journal.records] == FIRST[0]


@WAYS
@tried_with("seed", range(6))
def test_a_note_is_the_old_one_or_the_new_one_after_an_end_at_any_call(
    seed: int, machine: bool
) -> None:
    path, old, new = Path("/runs/r/connection.json"), b'{"epoch": 1}', b'{"epoch": 2, "more": 1}'
    calls = count_calls(lambda process: replace_file(path, new, process), SimulatedDisk())
    for number in range(len(calls) + 1):
        disk = SimulatedDisk(seed)
        replace_file(path, old, disk.process())
        at_call(number, disk, lambda disk=disk: die(disk, machine=machine))
        died = until_dead(lambda disk=disk: replace_file(path, new, disk.process()))
        disk.before = lambda call, process: None
        disk.crash()
        assert disk.read(path) in ((old, new) if died else (new,))
    assert not died


@WAYS
@tried_with("seed", range(6))
def test_a_key_is_whole_or_absent_after_an_end_at_any_call(seed: int, machine: bool) -> None:
    path, key = Path("/runs/r/key"), b"ab" * 32 + b"\n"
    calls = count_calls(lambda process: create_file(path, key, process), SimulatedDisk())
    for number in range(len(calls) + 1):
        disk = SimulatedDisk(seed)
        at_call(number, disk, lambda disk=disk: die(disk, machine=machine))
        died = until_dead(lambda disk=disk: create_file(path, key, disk.process()))
        disk.before = lambda call, process: None
        if not died:
            disk.crash()
        assert (path in disk.names) or died, "a key that was made is gone"
        if path in disk.names:
            assert disk.read(path) == key
        absent = path not in disk.paths()
        assert create_file(path, b"other", disk.process()) == absent


@tried_with("number", range(8))
def test_a_process_that_makes_the_key_at_any_call_of_another_is_first_or_second(
    number: int,
) -> None:
    path, made = Path("/runs/r/key"), []
    disk = SimulatedDisk(number)
    at_call(number, disk, lambda: made.append(create_file(path, b"two", disk.process())))
    one = create_file(path, b"one", disk.process())
    assert made == [not one]
    disk.crash()
    assert disk.read(path) == (b"one" if one else b"two")
    assert disk.paths() == [path]

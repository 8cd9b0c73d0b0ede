"""Whatever happens to the bytes, no record is ever read that was not written."""

import os
from contextlib import closing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpdist.core.journal.format import FORMAT, NO_JOURNAL, encode, scan
from hpdist.core.journal.journal import Journal
from hpdist.core.journal.repair import repair
from hpdist.core.model.errors import JournalDamaged
from hpdist.core.model.events import AttemptEnded, AttemptStarted, JobCreated, RunCreated, RunEnded
from hpdist.core.model.states import FailureKind
from hpdist.core.model.values import Failure, Job, Success, Trial

RECORDS = [
    RunCreated(FORMAT, "r", {"x": [0, 1]}),
    JobCreated(Job(0, 0, 1.0), Trial(0, (0, 0, 0), {"x": 0.25}, {"origin": "random"})),
    AttemptStarted(0, 1, "w"),
    AttemptEnded(0, 1, "w", Success(0.5, info={"text": "{\n} 0000000a"})),
    AttemptEnded(1, 1, "w", Failure(FailureKind.CRASH, "killed by 9")),
]
LAST = RunEnded("finished")


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda fd: None)
    monkeypatch.setattr(os, "fdatasync", lambda fd: None)


def lines_of(records, joined=()):
    lines, crc = [], 0
    for number, record in enumerate(records):
        line, crc = encode(record, 7.0, crc, number in joined)
        lines.append(line)
    return lines


LINES = lines_of(RECORDS)
DATA = b"".join(LINES)
ENDS = [sum(map(len, LINES[:n])) for n in range(len(LINES) + 1)]


def records_read(journal):
    return [record for _, record in journal.records]


def reopen_and_append(path):
    """Return what is read first, after checking that appending works from there."""
    with closing(Journal.open(path)) as journal:
        first, cut = records_read(journal), journal.cut_bytes
        journal.append(LAST, 8.0)
    with closing(Journal.open(path)) as journal:
        assert records_read(journal) == [*first, LAST]
        assert journal.cut_bytes == 0
    return first, cut


def test_a_cut_at_any_byte_gives_the_longest_whole_prefix_and_appending_works(tmp_path):
    path = tmp_path / "journal"
    for size in range(len(DATA) + 1):
        path.write_bytes(DATA[:size])
        # A record without its newline is whole already.
        whole = max(n for n, end in enumerate(ENDS) if end - (n > 0) <= size)
        first, cut = reopen_and_append(path)
        assert first == RECORDS[:whole]
        assert cut == max(0, size - ENDS[whole])


@pytest.mark.parametrize("flip", [0x01, 0x20, 0xFF])
def test_a_flipped_byte_is_noticed_wherever_it_is(flip):
    for place in range(len(DATA)):
        data = DATA[:place] + bytes([DATA[place] ^ flip]) + DATA[place + 1 :]
        found = scan(data)
        line = next(n for n, end in enumerate(ENDS) if place < end) - 1
        if line < len(RECORDS) - 1:
            assert (found.damage.offset, found.damage.line) == (ENDS[line], line + 1)
            assert records_read(found) == RECORDS[:line]
        else:
            # In the last record it looks like a torn write; its newline alone harms nothing.
            assert found.damage is None
            assert records_read(found) == RECORDS[: line + (place == len(DATA) - 1)]


@pytest.mark.parametrize("flip", [0x01, 0x20, 0xFF])
def test_a_flipped_last_newline_is_restored(tmp_path, flip):
    path = tmp_path / "journal"
    path.write_bytes(DATA[:-1] + bytes([DATA[-1] ^ flip]))
    assert reopen_and_append(path)[0] == RECORDS
    assert path.read_bytes().startswith(DATA)


@pytest.mark.parametrize("line", range(len(LINES) - 2))
def test_a_line_that_is_lost_doubled_or_moved_is_damage(line):
    doubled = [*LINES[: line + 1], *LINES[line:]]
    lost = LINES[:line] + LINES[line + 1 :]
    moved = [*LINES[:line], LINES[line + 1], LINES[line], *LINES[line + 2 :]]
    for lines in (doubled, lost, moved):
        found = scan(b"".join(lines))
        assert found.damage is not None
        assert records_read(found) == RECORDS[: len(found.records)]
        assert len(found.records) <= line + 1


@pytest.mark.parametrize("line", range(len(LINES) - 1))
def test_an_overwritten_line_is_damage_when_a_good_one_follows(line):
    zeros = bytes(len(LINES[line]))
    found = scan(b"".join([*LINES[:line], zeros, *LINES[line + 1 :]]))
    assert found.damage.line == line + 1


# The last three were written together, after the first two were durable.
TOGETHER = lines_of(RECORDS, joined=(3, 4))
GROUP = b"".join(TOGETHER)
STARTS = [sum(map(len, TOGETHER[:n])) for n in range(len(TOGETHER) + 1)]


@pytest.mark.parametrize("length", [1, 17, 200])
def test_what_never_reached_the_disk_of_one_commit_is_a_torn_tail(length):
    for start in range(STARTS[2], len(GROUP)):
        data = GROUP[:start] + bytes(len(GROUP[start : start + length])) + GROUP[start + length :]
        found = scan(data)
        assert found.damage is None
        # A record is whole without its newline; the last one's may be anything.
        whole = max(n for n, at in enumerate(STARTS) if at - 1 <= start)
        assert records_read(found) == RECORDS[:whole]


@pytest.mark.parametrize("flip", [0x01, 0x02, 0xFF])
def test_a_wrong_byte_in_one_commit_is_damage_all_the_same(flip):
    for place in range(STARTS[4]):
        found = scan(GROUP[:place] + bytes([GROUP[place] ^ flip]) + GROUP[place + 1 :])
        assert found.damage is not None
        assert records_read(found) == RECORDS[: len(found.records)]


def test_zeros_in_what_was_durable_when_more_was_written_are_damage():
    for start in range(STARTS[2]):
        found = scan(GROUP[:start] + b"\0" + GROUP[start + 1 :])
        assert found.damage is not None
        assert records_read(found) == RECORDS[: len(found.records)]


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    tail=st.one_of(
        st.binary(max_size=60),
        st.text("0123456789abcdef {}\n", max_size=60).map(str.encode),
        st.sampled_from([line[:n] + b"\n" * m for line in LINES for n in (9, 40) for m in (0, 2)]),
    ),
    whole=st.integers(1, len(LINES)),
    newline=st.booleans(),
)
def test_garbage_after_whole_records_is_cut_off_newlines_or_not(tmp_path, tail, whole, newline):
    path = tmp_path / "journal"
    path.write_bytes(DATA[: ENDS[whole] - (not newline)] + tail)
    assert reopen_and_append(path)[0] == RECORDS[:whole]


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    start=st.integers(0, len(DATA)),
    length=st.integers(0, 200),
    new=st.one_of(st.binary(max_size=80), st.sampled_from([*LINES, b"\n", bytes(64)])),
)
def test_any_replaced_stretch_leaves_a_prefix_and_repair_makes_it_usable(
    tmp_path, start, length, new
):
    path = tmp_path / "journal"
    data = DATA[:start] + new + DATA[start + length :]
    path.write_bytes(data)
    found = scan(data)
    assert records_read(found) == RECORDS[: len(found.records)]
    if found.damage is not None:
        with pytest.raises(JournalDamaged):
            Journal.open(path)
        assert path.read_bytes() == data
        if found.damage.reason == NO_JOURNAL:
            with pytest.raises(JournalDamaged, match="no journal"):
                repair(path)
            assert path.read_bytes() == data
            return
        assert repair(path) == len(data) - found.good_bytes
    assert reopen_and_append(path)[0] == records_read(found)

"""Mutants of the journal and of the durable files around it."""

from __future__ import annotations

from edits import before, drop, move, never, swap
from mutation import mutant
from places import (
    CRASH_TESTS,
    DAMAGE_TESTS,
    DURABLE_FILES,
    DURABLE_TESTS,
    JOURNAL,
    JOURNAL_FILE,
    JOURNAL_FORMAT,
    JOURNAL_TESTS,
    REPAIR,
)

FULL_DISK = JOURNAL_TESTS + "test_a_full_disk_leaves_whole_records_and_loses_nothing"
FIRST_MASTER = (
    CRASH_TESTS + "test_a_first_master_that_wakes_at_any_call_of_the_second_costs_no_safe_record"
)

WRITE_MUTANTS = (
    mutant(
        "what a full disk refused is forgotten",
        JOURNAL.change(
            "Journal._write_buffer",
            before("raise self._full(...) from ...", "self._buffer = []"),
        ),
        killed_by=FULL_DISK,
    ),
    mutant(
        "what a full disk took is written again",
        JOURNAL.change("Journal._write_buffer", swap("data[self._written :]", "data")),
        killed_by=FULL_DISK,
        says="another writer",
    ),
    mutant(
        "a commit does not wait for the disk",
        JOURNAL.change("Journal._make_durable", drop("self._disk.sync_data(...)")),
        killed_by=JOURNAL_TESTS + "test_a_commit_is_one_write_and_one_sync",
        quick=True,
    ),
    mutant(
        "attempt numbers wait for rarer syncs",
        JOURNAL.change(
            "Journal.append", swap("self._started or isinstance(record, AttemptStarted)", "False")
        ),
        killed_by=JOURNAL_TESTS + "test_what_is_handed_out_is_durable_however_rare_the_syncs_are",
    ),
    mutant(
        "another process that writes the journal is not noticed",
        JOURNAL.change("Journal._check_sole_writer", swap("size == expected and names", "names")),
        killed_by=FIRST_MASTER,
        says="two masters went on at once",
    ),
    mutant(
        "other writers are not looked for after the write",
        JOURNAL.change("Journal.commit", drop("self._check_sole_writer()", nth=2, of=2)),
        killed_by=CRASH_TESTS
        + "test_a_second_master_at_any_call_of_the_first_ones_commit_costs_no_safe_record",
        quick=True,
    ),
    mutant(
        "a master that writes nothing never hears that it is not alone",
        JOURNAL.change("Journal.commit", drop("self._check_sole_writer()", nth=1, of=2)),
        killed_by=JOURNAL_TESTS
        + "test_bytes_from_elsewhere_stop_a_writer_that_has_nothing_to_write",
    ),
    mutant(
        "bytes that came after the journal was read are taken for read",
        JOURNAL.change(
            "Journal.__init__",
            swap("found.good_bytes + (not found.closed)", "disk.status(fd)[0]"),
        ),
        killed_by=FIRST_MASTER,
    ),
    mutant(
        "a failed sync is tried again",
        JOURNAL.change(
            "Journal._make_durable",
            swap("raise self._failed(...) from ...", "self._disk.sync_data(self._fd)"),
        ),
        killed_by=CRASH_TESTS + "test_an_error_at_any_call_is_told_and_loses_nothing",
    ),
)

READ_MUTANTS = (
    mutant(
        "a torn tail is not cut",
        JOURNAL_FILE.change("truncate_tail", never("found.good_bytes < found.total_bytes")),
        killed_by=DAMAGE_TESTS
        + "test_a_cut_at_any_byte_gives_the_longest_whole_prefix_and_appending_works",
        says="changed by another writer",
    ),
    mutant(
        "who is about to cut a torn tail keeps nobody out",
        JOURNAL_FILE.change("open_file", drop("disk.lock(...)")),
        killed_by=CRASH_TESTS + "test_who_stands_still_while_opening_keeps_others_out",
    ),
    mutant(
        "memory is believed after a failed sync",
        JOURNAL_FILE.change("read_durable", drop("disk.forget(...)")),
        killed_by=CRASH_TESTS + "test_what_a_failed_sync_left_in_memory_is_not_believed",
    ),
    mutant(
        "what is read is not made durable first",
        JOURNAL_FILE.change("read_durable", drop("disk.sync(...)")),
        killed_by=JOURNAL_TESTS + "test_what_is_read_is_durable_and_not_from_memory",
    ),
    mutant(
        "the name of a new journal is not made durable",
        JOURNAL_FILE.change("open_file", drop("sync_directory(...)")),
        killed_by=CRASH_TESTS
        + "test_an_end_at_any_call_of_the_first_life_loses_nothing_that_was_safe",
    ),
    mutant(
        "what is lost of an unsynced commit is taken for damage",
        JOURNAL.change("Journal.append", swap("bool(self._buffer) or self._unsynced", "False")),
        killed_by=CRASH_TESTS + "test_an_end_at_any_call_loses_nothing_that_was_safe",
        says="is damaged at byte",
    ),
    mutant(
        "zeros in durable records are taken for a torn tail",
        JOURNAL_FORMAT.change("_is_torn", never("not joined")),
        killed_by=DAMAGE_TESTS + "test_an_overwritten_line_is_damage_when_a_good_one_follows",
        says="'NoneType' object has no attribute",
    ),
    mutant(
        "a wrong byte in the last commit is taken for a torn tail",
        JOURNAL_FORMAT.change("_is_torn", swap("first == len(data) or ... in ...", "True")),
        killed_by=DAMAGE_TESTS + "test_a_wrong_byte_in_one_commit_is_damage_all_the_same",
    ),
    mutant(
        "a repair cuts before it has a copy",
        REPAIR.change(
            "repair",
            move("if found.good_bytes < found.total_bytes: ...", behind="truncate_tail(...)"),
        ),
        killed_by=DURABLE_TESTS
        + "test_an_end_at_any_call_of_a_repair_loses_neither_records_nor_the_copy",
        says="what was cut off is gone",
    ),
    mutant(
        "a note is put in place before it is durable",
        DURABLE_FILES.change("temporary_copy", drop("disk.sync(...)")),
        killed_by=DURABLE_TESTS
        + "test_a_note_is_the_old_one_or_the_new_one_after_an_end_at_any_call",
    ),
)

JOURNAL_MUTANTS = (*WRITE_MUTANTS, *READ_MUTANTS)

"""Faults in what must be durable: the journal, the files around it, and what rests on them."""

from __future__ import annotations

from mutation import Mutant

DISPATCH, LOOP = "hpdist.core.dispatch.state", "hpdist.core.run.loop"
JOURNAL, FORMAT, FILES = (
    "hpdist.core.journal.journal",
    "hpdist.core.journal.format",
    "hpdist.core.journal.durable_files",
)

CRASHES = "tests/property/test_journal_crashes.py::"
FILES_TESTS = "tests/property/test_durable_files.py::"
DAMAGE = "tests/property/test_journal_damage.py::"
SWARM = (
    "tests/simulated/test_swarm.py::"
    "test_nothing_is_lost_doubled_or_stuck_in_any_mixture_of_faults[1]"
)
ANY_END = CRASHES + "test_an_end_at_any_call_loses_nothing_that_was_safe"

DURABLE_FAULTS = (
    Mutant(
        "orders go out before their records are durable",
        (
            (
                LOOP,
                "        try:\n            self.journal.commit()\n",
                "        early, self._orders = self._orders, []\n"
                "        self.executor.perform([self._complete(order) for order in early])\n"
                "        try:\n            self.journal.commit()\n",
            ),
        ),
        SWARM,
        "before it was durable",
    ),
    Mutant(
        "after a restart the last attempt number is used again",
        (
            (
                DISPATCH,
                "        for worker in list(self.workers.values()):\n            worker.connected",
                "        for entry in self.jobs.values():\n"
                "            entry.attempt -= entry.attempt > 1 and not entry.state.settled\n"
                "        for worker in list(self.workers.values()):\n            worker.connected",
            ),
        ),
        SWARM,
        "acknowledged before it was durable",
    ),
    Mutant(
        "a restarted master does not wait for the workers of before",
        (
            (
                DISPATCH,
                "            worker.deadline = now + self.timing.lease_s\n            if not may",
                "            worker.deadline = now\n            if not may",
            ),
        ),
        SWARM,
        "was evaluated 2 times, not 1",
    ),
    Mutant(
        "attempt numbers wait for rarer syncs",
        (
            (
                JOURNAL,
                "self._started = self._started or isinstance",
                "self._started = 0 * isinstance",
            ),
        ),
        "tests/core/journal/test_journal.py::test_what_is_handed_out_is_durable_however_rare_the_syncs_are",
        "== ['sync']",
    ),
    Mutant(
        "nobody looks whether another process writes the journal",
        ((JOURNAL, "        if size == expected and names:\n", "        if names:\n"),),
        CRASHES + "test_a_first_master_that_wakes_at_any_call_of_the_second_costs_no_safe_record",
        "two masters went on at once",
    ),
    Mutant(
        "nobody looks again after the write",
        (
            (
                JOURNAL,
                "and nobody may act on them.\n        self._check_alone()\n",
                "and nobody may act on them.\n",
            ),
        ),
        CRASHES + "test_a_second_master_at_any_call_of_the_first_ones_commit_costs_no_safe_record",
        "not in found] == []",
    ),
    Mutant(
        "bytes that came after the journal was read are taken for read",
        (
            (
                JOURNAL,
                "self._size = found.good_bytes + (not found.closed)",
                "self._size = disk.status(fd)[0]",
            ),
        ),
        CRASHES + "test_a_first_master_that_wakes_at_any_call_of_the_second_costs_no_safe_record",
        "not in found] == []",
    ),
    Mutant(
        "a master that writes nothing never hears that it is not alone",
        (
            (
                JOURNAL,
                "        self._check_alone()\n        if not (self._buffer or self._unsynced):\n",
                "        if not (self._buffer or self._unsynced):\n",
            ),
        ),
        "tests/core/journal/test_journal.py::test_bytes_from_elsewhere_stop_a_writer_that_has_nothing_to_write",
        "DID NOT RAISE",
    ),
    Mutant(
        "who is about to cut a torn tail keeps nobody out",
        ((JOURNAL, "        disk.lock(fd)\n", ""),),
        CRASHES + "test_who_stands_still_while_opening_keeps_others_out",
        "not in found] == []",
    ),
    Mutant(
        "a failed sync is tried again",
        (
            (
                JOURNAL,
                "            raise self._failed(error) from error\n        self._unsynced",
                "            self._disk.sync_data(self._fd)\n        self._unsynced",
            ),
        ),
        CRASHES + "test_an_error_at_any_call_is_told_and_loses_nothing",
        "DID NOT RAISE",
    ),
    Mutant(
        "memory is believed after a failed sync",
        ((JOURNAL, "    disk.forget(fd)\n", ""),),
        CRASHES + "test_what_a_failed_sync_left_in_memory_is_not_believed",
        "== believed",
    ),
    Mutant(
        "what is read is not made durable first",
        ((JOURNAL, "    disk.sync(fd)\n    disk.forget(fd)\n", "    disk.forget(fd)\n"),),
        "tests/core/journal/test_journal.py::test_what_is_read_is_durable_and_not_from_memory",
        "assert [('sync'",
    ),
    Mutant(
        "the name of a new journal is not made durable",
        (
            (
                JOURNAL,
                "        sync_directory(path.parent, disk)\n    except BaseException as",
                "    except BaseException as",
            ),
        ),
        CRASHES + "test_an_end_at_any_call_of_the_first_life_loses_nothing_that_was_safe",
        "== [*found, last]",
    ),
    Mutant(
        "what is lost of an unsynced commit is taken for damage",
        ((JOURNAL, "joined = bool(self._buffer) or self._unsynced", "joined = False"),),
        ANY_END,
        "JournalDamaged",
    ),
    Mutant(
        "zeros in durable records are taken for a torn tail",
        ((FORMAT, "        if not joined:\n            return False\n", ""),),
        DAMAGE + "test_an_overwritten_line_is_damage_when_a_good_one_follows",
        "has no attribute 'line'",
    ),
    Mutant(
        "a wrong byte in the last commit is taken for a torn tail",
        ((FORMAT, 'first == len(data) or b"\\0" in data[start:first]', "True"),),
        DAMAGE + "test_a_wrong_byte_in_one_commit_is_damage_all_the_same",
        "is not None",
    ),
    Mutant(
        "a note is put in place before it is durable",
        (
            (
                FILES,
                "        write_all(fd, data, disk)\n        disk.sync(fd)\n",
                "        write_all(fd, data, disk)\n",
            ),
        ),
        FILES_TESTS + "test_a_note_is_the_old_one_or_the_new_one_after_an_end_at_any_call",
        "in ((old, new) if died else (new,))",
    ),
    Mutant(
        "a repair cuts before it has a copy",
        (
            (
                JOURNAL,
                "            _keep_copy(path, data, disk)\n        _tidy(path, fd, found, disk)\n",
                "            _tidy(path, fd, found, disk)\n"
                "            _keep_copy(path, data, disk)\n",
            ),
        ),
        FILES_TESTS + "test_an_end_at_any_call_of_a_repair_loses_neither_records_nor_the_copy",
        "what was cut off is gone",
    ),
)

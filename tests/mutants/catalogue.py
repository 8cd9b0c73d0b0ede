"""All mutants.

An entry names what is wrong, the functions that it changes, and the test that must fail::

    mutant(
        "a commit does not wait for the disk",
        JOURNAL.change("Journal._make_durable", drop("self._disk.sync_data(...)")),
        killed_by=JOURNAL_TESTS + "test_a_commit_is_one_write_and_one_sync",
    )

``JOURNAL`` and ``JOURNAL_TESTS`` stand in `places`, the kinds of change in `edits`, the patterns in
`patterns`. ``python -m tests.mutants --show`` prints what each entry changes.
"""

from __future__ import annotations

from connection_mutants import CONNECTION_MUTANTS
from dispatch_mutants import DISPATCH_MUTANTS
from journal_mutants import JOURNAL_MUTANTS
from key_mutants import KEY_MUTANTS
from message_mutants import MESSAGE_MUTANTS
from run_mutants import LOOP_MUTANTS, STUDY_MUTANTS
from worker_mutants import WORKER_MUTANTS

MUTANTS = (
    *DISPATCH_MUTANTS,
    *WORKER_MUTANTS,
    *LOOP_MUTANTS,
    *STUDY_MUTANTS,
    *JOURNAL_MUTANTS,
    *MESSAGE_MUTANTS,
    *CONNECTION_MUTANTS,
    *KEY_MUTANTS,
)

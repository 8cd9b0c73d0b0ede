"""Mutants of what decides who may use a run: its name, its key file, its lock."""

from __future__ import annotations

from edits import drop, never, swap
from mutation import mutant
from places import DIRECTORY_TESTS, DISK, PRIVATE_FILES, RESUME_TESTS, RUN_KEY, RUN_NAMES

KEY_MUTANTS = (
    mutant(
        "a run may be named like a path",
        RUN_NAMES.change(
            "check_run_id", swap("_RUN_ID.fullmatch(run_id)", "_RUN_ID.match(run_id)")
        ),
        killed_by=DIRECTORY_TESTS + "test_names_that_could_leave_the_directory_are_no_run_ids",
    ),
    mutant(
        "a key that everybody can read is used",
        PRIVATE_FILES.change("_check_private", never("status.st_mode & 0o077")),
        killed_by=DIRECTORY_TESTS + "test_a_key_that_others_may_open_is_refused_with_the_remedy",
    ),
    mutant(
        "a key that another user wrote is used",
        PRIVATE_FILES.change("_check_private", never("status.st_uid != os.geteuid()")),
        killed_by=DIRECTORY_TESTS + "test_a_key_of_another_user_is_refused",
        quick=True,
    ),
    mutant(
        "a link in place of the key is followed",
        PRIVATE_FILES.change("read_private", swap("os.O_NOFOLLOW", "0")),
        killed_by=DIRECTORY_TESTS + "test_a_link_a_directory_and_a_pipe_are_no_key_files",
    ),
    mutant(
        "what was meant to be a key is shown in the error",
        RUN_KEY.change(
            "_decode_key",
            swap("f'{source} holds no key'", "f'{source} holds no key but {text!r}'"),
        ),
        killed_by=DIRECTORY_TESTS + "test_what_is_no_key_is_refused_and_never_shown",
    ),
    mutant(
        "the lock of a run is not taken",
        DISK.change("Disk.lock", drop("fcntl.flock(...)")),
        killed_by=RESUME_TESTS + "test_a_run_that_is_open_is_locked",
    ),
)

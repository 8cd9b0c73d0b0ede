"""Results in private files: who takes them over, and what is left alone."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from hpdist.core.model.events import Assignment, AttemptResult
from hpdist.core.model.values import Failure, FailureKind, Success
from hpdist.core.remote.in_flight import Hands
from hpdist.core.remote.outbox import MAX_TOLD_BYTES, ORPHANED_AFTER_S, Spool, tell

ONE, TWO = "aaaaaaaa", "bbbbbbbb"
HELD: Assignment = (4, 2)
RESULT = AttemptResult(*HELD, Success(0.1 + 0.2, info={"note": "ü"}), 1.5, 7.0, "printed")


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def orphan(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Spool:
    """The spool of a worker that has died, with one result of book "b" in it."""
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", dead_pid)
        spool = Spool(directory, "dead", ONE)
        spool.open_book("b")
        spool.keep(tell(RESULT))
    return spool


def files(directory: Path) -> list[Path]:
    return sorted(directory.iterdir())


def test_a_result_is_inherited_as_it_was_with_book_and_worker(
    orphan: Spool, directory: Path
) -> None:
    (told,) = Spool(directory, "heir", TWO).inherit()
    assert told == {**tell(RESULT), "book": "b", "worker": "dead"}


def test_only_its_owner_may_read_it(orphan: Spool, directory: Path) -> None:
    (file,) = files(directory)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_only_one_inherits_and_after_his_death_the_next(
    orphan: Spool, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", dead_pid)
        assert len(Spool(directory, "heir", TWO).inherit()) == 1
    assert len(Spool(directory, "next", "cccccccc").inherit()) == 1
    assert Spool(directory, "late", "dddddddd").inherit() == []


def test_what_was_acknowledged_is_gone(orphan: Spool, directory: Path) -> None:
    heir = Spool(directory, "heir", TWO)
    heir.inherit()
    heir.open_book("b")
    heir.forget(HELD)
    assert files(directory) == []
    heir.forget(HELD)
    orphan.forget(HELD)  # its owner lives after all, and finds that others were quicker


def test_a_living_worker_keeps_its_results(directory: Path) -> None:
    Spool(directory, "alive", ONE).keep(tell(RESULT))
    assert Spool(directory, "heir", TWO).inherit() == []


def test_results_that_lie_for_long_are_handed_in_whoever_wrote_them(directory: Path) -> None:
    Spool(directory, "hangs", ONE).keep(tell(RESULT))
    (file,) = files(directory)
    long_ago = file.stat().st_mtime - ORPHANED_AFTER_S - 1
    os.utime(file, (long_ago, long_ago))
    assert len(Spool(directory, "heir", TWO).inherit()) == 1


def test_results_of_another_run_of_this_name_are_thrown_away(
    orphan: Spool, directory: Path
) -> None:
    hands = Hands(Spool(directory, "heir", TWO))
    assert len(hands.inherit()) == 1
    hands.told({}, {"kind": "ok", "terms": {"book": "another"}})
    assert hands.to_tell()["done"] == []
    assert files(directory) == []


@pytest.mark.parametrize(
    "text",
    ["", "{", "null", "[]", '{"job_id": 1}', json.dumps({**tell(RESULT), "outcome": None}), "\0"],
)
def test_a_torn_or_foreign_file_is_left_alone(orphan: Spool, directory: Path, text: str) -> None:
    (file,) = files(directory)
    file.write_text(text)
    assert Spool(directory, "heir", TWO).inherit() == []
    assert file.read_text() == text


def test_files_that_others_could_have_written_are_left_alone(
    orphan: Spool, directory: Path
) -> None:
    (file,) = files(directory)
    file.chmod(0o644)
    assert Spool(directory, "heir", TWO).inherit() == []
    file.chmod(0o600)
    link = file.with_name(file.name.replace(ONE, "cccccccc"))
    file.rename(directory.parent / "elsewhere")
    link.symlink_to(directory.parent / "elsewhere")
    (directory / "notes.txt").write_text("?")
    assert Spool(directory, "heir", TWO).inherit() == []


def test_a_directory_that_cannot_be_written_costs_no_result(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    hands = Hands(Spool(tmp_path / "file" / "spool", "w", ONE))
    for job_id in range(2):
        hands.finish((job_id, 1), AttemptResult(job_id, 1, Success(0.5)))
    assert [told["job_id"] for told in hands.to_tell()["done"]] == [0, 1]
    assert caplog.text.count("results cannot be kept in") == 1
    assert hands.inherit() == []


def test_a_message_holds_as_many_results_as_fit_and_the_rest_follow(directory: Path) -> None:
    hands = Hands(Spool(directory, "w", ONE))
    failure = Failure(FailureKind.EXCEPTION, "x" * (MAX_TOLD_BYTES // 2))
    for job_id in range(4):
        hands.finish((job_id, 1), AttemptResult(job_id, 1, failure))
    told = []
    while done := [told["job_id"] for told in hands.to_tell()["done"]]:
        told.append(done)
        acks = [(job_id, 1) for job_id in done]
        hands.told({}, {"kind": "ok", "acks": acks})
    assert told == [[0], [1], [2], [3]]
    assert files(directory) == []

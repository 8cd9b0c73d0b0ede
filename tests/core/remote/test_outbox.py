"""Results in private files: who takes them over, and what is left alone."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from hpdist.core.model.events import Assignment, AttemptResult
from hpdist.core.model.field_codec import to_json
from hpdist.core.model.states import FailureKind
from hpdist.core.model.values import Failure, Success
from hpdist.core.remote.in_flight import InFlight
from hpdist.core.remote.messages import Poll
from hpdist.core.remote.outbox import ABANDONED_AFTER_S, MAX_RESULTS_BYTES, Outbox, reported
from hpdist.core.remote.replies import Reply, SessionSettings

ONE, TWO = "aaaaaaaa", "bbbbbbbb"
POLL = Poll(worker="w", incarnation=ONE, request=1)
HELD: Assignment = (4, 2)
RESULT = AttemptResult(*HELD, Success(0.1 + 0.2, info={"note": "ü"}), 1.5, 7.0, "printed")
NO_OUTCOME = json.dumps({**to_json(reported(RESULT)), "outcome": None})


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "outbox"


@pytest.fixture
def orphan(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Outbox:
    """The outbox of a worker that has died, with one result of run instance "b" in it."""
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", dead_pid)
        outbox = Outbox(directory, "dead", ONE)
        outbox.set_instance("b")
        outbox.keep(reported(RESULT))
    return outbox


def files(directory: Path) -> list[Path]:
    return sorted(directory.iterdir())


def test_a_result_is_recovered_as_it_was_with_instance_and_worker(
    orphan: Outbox, directory: Path
) -> None:
    (told,) = Outbox(directory, "heir", TWO).recover()
    assert told == replace(reported(RESULT), instance="b", worker="dead")


def test_only_its_owner_may_read_it(orphan: Outbox, directory: Path) -> None:
    (file,) = files(directory)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_only_one_worker_recovers_it_and_after_its_death_the_next(
    orphan: Outbox, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", dead_pid)
        assert len(Outbox(directory, "heir", TWO).recover()) == 1
    assert len(Outbox(directory, "next", "cccccccc").recover()) == 1
    assert Outbox(directory, "late", "dddddddd").recover() == []


def test_what_was_acknowledged_is_gone(orphan: Outbox, directory: Path) -> None:
    heir = Outbox(directory, "heir", TWO)
    heir.recover()
    heir.set_instance("b")
    heir.forget(HELD)
    assert files(directory) == []
    heir.forget(HELD)
    orphan.forget(HELD)  # its owner lives after all, and finds that others were quicker


def test_a_living_worker_keeps_its_results(directory: Path) -> None:
    Outbox(directory, "alive", ONE).keep(reported(RESULT))
    assert Outbox(directory, "heir", TWO).recover() == []


def test_results_that_lie_for_long_are_handed_in_whoever_wrote_them(directory: Path) -> None:
    Outbox(directory, "hangs", ONE).keep(reported(RESULT))
    (file,) = files(directory)
    long_ago = file.stat().st_mtime - ABANDONED_AFTER_S - 1
    os.utime(file, (long_ago, long_ago))
    assert len(Outbox(directory, "heir", TWO).recover()) == 1


def test_results_of_another_run_of_this_name_are_thrown_away(
    orphan: Outbox, directory: Path
) -> None:
    in_flight = InFlight(Outbox(directory, "heir", TWO))
    assert len(in_flight.recover()) == 1
    in_flight.replied(POLL, Reply("ok", 1, settings=SessionSettings(9.0, 1.0, 1.0, "another")))
    assert in_flight.unreported().results == ()
    assert files(directory) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "[]",
        '{"job_id": 1}',
        json.dumps({**to_json(reported(RESULT)), "outcome": None}),
        "\0",
    ],
)
def test_a_torn_or_foreign_file_is_left_alone(orphan: Outbox, directory: Path, text: str) -> None:
    (file,) = files(directory)
    file.write_text(text)
    assert Outbox(directory, "heir", TWO).recover() == []
    assert file.read_text() == text


def test_files_that_others_could_have_written_are_left_alone(
    orphan: Outbox, directory: Path
) -> None:
    (file,) = files(directory)
    file.chmod(0o644)
    assert Outbox(directory, "heir", TWO).recover() == []
    file.chmod(0o600)
    link = file.with_name(file.name.replace(ONE, "cccccccc"))
    file.rename(directory.parent / "elsewhere")
    link.symlink_to(directory.parent / "elsewhere")
    (directory / "notes.txt").write_text("?")
    assert Outbox(directory, "heir", TWO).recover() == []


def test_a_directory_that_cannot_be_written_costs_no_result(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    in_flight = InFlight(Outbox(tmp_path / "file" / "outbox", "w", ONE))
    for job_id in range(2):
        in_flight.finish((job_id, 1), AttemptResult(job_id, 1, Success(0.5)))
    assert [each.job_id for each in in_flight.unreported().results] == [0, 1]
    assert caplog.text.count("results cannot be kept in") == 1
    assert in_flight.recover() == ()


def test_a_message_holds_as_many_results_as_fit_and_the_rest_follow(directory: Path) -> None:
    in_flight = InFlight(Outbox(directory, "w", ONE))
    failure = Failure(FailureKind.EXCEPTION, "x" * (MAX_RESULTS_BYTES // 2))
    for job_id in range(4):
        in_flight.finish((job_id, 1), AttemptResult(job_id, 1, failure))
    told = []
    while done := [each.job_id for each in in_flight.unreported().results]:
        told.append(done)
        acknowledged = tuple((job_id, 1) for job_id in done)
        in_flight.replied(POLL, Reply("ok", 1, acknowledged=acknowledged))
    assert told == [[0], [1], [2], [3]]
    assert files(directory) == []

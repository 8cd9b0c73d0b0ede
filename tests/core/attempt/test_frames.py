"""Messages survive the pipe in any pieces, and what children may say is checked."""

from __future__ import annotations

import json
import os

import pytest

from hpdist.core.attempt.child_attempt import describe
from hpdist.core.attempt.child_messages import (
    MalformedMessageError,
    check_outcome,
    check_report,
    parse_message,
)
from hpdist.core.attempt.pipe_framing import FrameError, FrameReader, frame, read_frame, write_frame
from hpdist.core.model.record_codec import outcome_to_json
from hpdist.core.model.states import FailureKind
from hpdist.core.model.values import Failure, Outcome, Success

BODIES = [b"", b"a", b"x" * 1000, b"\x00\xff"]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 4096])
def test_messages_are_put_together_from_any_pieces(size: int) -> None:
    stream = b"".join(map(frame, BODIES))
    reader, seen = FrameReader(), []
    for start in range(0, len(stream), size):
        seen += reader.feed(stream[start : start + size])
    assert seen == BODIES


def test_a_message_longer_than_the_limit_is_refused_before_it_arrives() -> None:
    assert FrameReader(limit=10).feed(frame(b"x" * 10)) == [b"x" * 10]
    with pytest.raises(FrameError, match="11"):
        FrameReader(limit=10).feed(frame(b"x" * 11)[:4])


def test_a_blocking_reader_gets_messages_and_then_the_end() -> None:
    source, sink = os.pipe()
    for body in BODIES:
        write_frame(sink, body)
    os.write(sink, b"\x00\x00")
    os.close(sink)
    assert [read_frame(source) for _ in BODIES] == BODIES
    assert read_frame(source) is None
    os.close(source)


def test_what_a_child_says_is_read_back() -> None:
    assert parse_message(b'{"report": [3, 1, 0.5]}') == ("report", 3, [1, 0.5])
    assert parse_message(b'{"done": [3, null]}') == ("done", 3, [None])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"{}",
        b"[]",
        b"1",
        b'{"done": []}',
        b'{"done": 3}',
        b'{"done": [1]}',
        b'{"done": [1, 2, 3]}',
        b'{"report": [1, 2]}',
        b'{"other": [1, 2]}',
        b'{"done": [1, null], "report": [1, 2, 3]}',
        b"[" * 100_000,
        b'{"done": [1, ' + b"9" * 5000 + b"]}",
    ],
)
def test_rubbish_is_no_message(body: bytes) -> None:
    with pytest.raises(MalformedMessageError):
        parse_message(body)


@pytest.mark.parametrize(
    "report", [("1", 0.5), (1, "0.5"), (True, 0.5), (1, float("nan")), (1, None), (1.0, 1.0)]
)
def test_a_report_has_an_int_and_a_finite_float(report: tuple[object, object]) -> None:
    assert check_report(1, 0.5) == (1, 0.5)
    with pytest.raises(MalformedMessageError):
        check_report(*report)


@pytest.mark.parametrize(
    "outcome",
    [
        Success(0.5, 2.0, {"a": [1]}),
        Failure(FailureKind.EXCEPTION, "ValueError: x", "Traceback"),
        Failure(FailureKind.INVALID, "nan"),
        Failure(FailureKind.MEMORY, "no room"),
    ],
)
def test_an_outcome_survives(outcome: Outcome) -> None:
    assert check_outcome(json.loads(json.dumps(outcome_to_json(outcome))), "train") == outcome


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {},
        "done",
        {"loss": "0.5"},
        {"loss": float("nan")},
        {"loss": 1.0, "extra": 2},
        {"failure": "crash", "message": "m"},
        {"failure": "lost", "message": "m"},
        {"failure": "exception"},
        {"failure": "no such kind", "message": "m"},
    ],
)
def test_an_outcome_that_a_child_cannot_know_is_forged(data: object) -> None:
    with pytest.raises(MalformedMessageError):
        check_outcome(data, "train")


def test_texts_from_a_child_are_limited() -> None:
    failure = {"failure": "exception", "message": "m" * 10**6, "traceback": "t" * 10**6 + "end"}
    outcome = check_outcome(failure, "train")
    assert isinstance(outcome, Failure)
    assert len(outcome.message) == len(outcome.traceback) == 64 * 1024
    assert outcome.traceback.endswith("end")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (None, "closed its pipe"),
        (3, "os._exit(3)"),
        (-11, "SIGSEGV (11)"),
        (-9, "want of memory"),
        (-64, "(64)"),
        (-250, "a signal (250)"),
    ],
)
def test_how_a_process_ended_is_put_in_words(code: int | None, words: str) -> None:
    assert words in describe(code)

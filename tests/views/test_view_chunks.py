"""Calls and values that are too long for one message, without engines."""

from __future__ import annotations

from typing import Any

import pytest

from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.states import FailureKind
from hpdist.core.model.values import Failure
from hpdist.views import chunks
from hpdist.views.engine import CALL, execute
from hpdist.views.long_calls import fetch_tasks, in_chunks
from hpdist.views.pickled import pack
from hpdist.views.task import Task
from hpdist.views.values import read_value, write_value

LONG = 'x\\"\n' * 700_000


def task(*arguments: Any, **options: Any) -> Task:
    options = {"targets": frozenset([3]), "static": True, **options}
    return Task(("call", pack(str.upper), pack([(arguments, {})])), **options)


def ran(each: Task) -> dict[str, Any]:
    """Run a task in this process, as an engine would."""
    result = execute({CALL: list(each.call)}, 1.0, None)  # type: ignore[arg-type]
    told: dict[str, Any] = result["info"]
    return told


def test_a_short_call_is_left_as_it_is() -> None:
    short = task("a")
    assert in_chunks(short) == [short]
    assert [read_value(each, False) for each in ran(short)["values"]] == ["A"]


def test_a_long_call_and_its_long_value_go_in_chunks() -> None:
    tasks = in_chunks(long := task(LONG))
    assert tasks[-1] is long
    assert len(tasks) > 3
    for each in tasks:
        assert sum(map(len, each.call)) < 1_500_000
        assert (each.targets, each.static) == ({3}, True)
    *_, told = [ran(each) for each in tasks]
    assert "values" not in told
    long.engine, whole = 3, []
    for each in fetch_tasks(long, told, whole.append):
        assert not whole
        each.on_end(each, ran(each))
    (found,) = whole
    assert [read_value(each, False) for each in found["values"]] == [LONG.upper()]
    assert not chunks._CHUNKS, "nothing stays behind"


def test_a_long_call_for_any_engine_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="too long for a load-balanced view"):
        in_chunks(task(LONG, static=False))


def test_chunks_whose_process_has_ended_are_missed() -> None:
    first, second, *_, last = in_chunks(task(LONG))
    ran(first)
    chunks._CHUNKS.clear()  # another process
    for each in (second, last):
        with pytest.raises(LookupError, match="the process that had the chunks"):
            ran(each)
    with pytest.raises(LookupError, match="the process that had the value"):
        chunks.fetch("token", 0)
    assert not chunks._CHUNKS


@pytest.mark.parametrize(
    "told",
    [
        Failure(FailureKind.LOST, "the engine is gone"),
        {},
        {"values": []},
        {"values": [write_value(5)]},
        {"values": ["no JSON"]},
        {"values": [write_value("bm8gSlNPTg==")]},
        {"values": [write_value("NQ==")]},
    ],
)
def test_a_chunk_that_cannot_be_is_the_failure_of_the_whole(told: Any) -> None:
    whole: list[Any] = []
    tasks = fetch_tasks(task(engine=3), {"token": "token", "chunks": 1}, whole.append)
    for each in tasks * 2:
        each.on_end(each, told)
    assert [type(each) for each in whole] == [Failure]


@pytest.mark.parametrize("count", [0, -1, 10**9, "3", None])
def test_a_number_of_chunks_that_cannot_be_is_a_failure(count: Any) -> None:
    whole: list[Any] = []
    assert fetch_tasks(task(engine=3), {"token": "token", "chunks": count}, whole.append) == []
    assert [each.kind for each in whole] == [FailureKind.INVALID]

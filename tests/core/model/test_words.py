"""States, commands and ends of a run are words of a closed list, and are written as such."""

from __future__ import annotations

import json

import pytest

from hpdist.core.model.events import Controlled, RunEnded, WorkerChanged
from hpdist.core.model.record_codec import record_from_json, record_to_json
from hpdist.core.model.states import Command, EndReason, WorkerState
from hpdist.core.model.values import WorkerInfo

RECORDS = {
    "state": WorkerChanged(WorkerState.LOST, WorkerInfo("w", "1")),
    "command": Controlled(Command.PAUSE),
    "reason": RunEnded(EndReason.TIME_LIMIT),
}


@pytest.mark.parametrize("name", RECORDS)
def test_a_word_is_written_as_itself_and_read_as_its_member(name: str) -> None:
    record = RECORDS[name]
    text = json.dumps(record_to_json(record))
    assert json.loads(text)[name] == f"{getattr(record, name)}" == getattr(record, name).value
    read = record_from_json(json.loads(text))
    assert read == record
    assert getattr(read, name) is getattr(record, name)


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_with_an_unknown_word_is_refused(name: str) -> None:
    data = record_to_json(RECORDS[name]) | {name: "vanished"}
    with pytest.raises(ValueError, match="vanished"):
        record_from_json(data)

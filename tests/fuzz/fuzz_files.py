"""What is read from disk: journals, connections, keys, commands."""

from __future__ import annotations

import functools
import json
import os
import socket
import tempfile
import zlib
from pathlib import Path
from unittest import mock

from fuzz_mutation import JSON, LINES
from fuzz_target import Target

from hpdist.cli.command_file import NAME, read_command, write_command
from hpdist.core.journal import format as journal_format
from hpdist.core.journal.connection_file import read_connection, write_connection
from hpdist.core.journal.reader import JournalReader, read_journal
from hpdist.core.journal.run_key import find_key
from hpdist.core.model.errors import ConfigurationError, JournalError
from hpdist.core.model.events import (
    AttemptEnded,
    AttemptStarted,
    Controlled,
    JobCreated,
    Record,
    ReportReceived,
    RunCreated,
    RunEnded,
    RunResumed,
    WorkerChanged,
)
from hpdist.core.model.field_codec import to_json
from hpdist.core.model.json_codec import decode, encode
from hpdist.core.model.record_codec import record_from_json, record_to_json
from hpdist.core.model.states import FailureKind
from hpdist.core.model.values import Failure, Job, Success, Trial, WorkerInfo
from hpdist.core.remote.messages import read_message
from hpdist.core.remote.outbox import Outbox, as_many_as_fit

_RECORDS: tuple[Record, ...] = (
    RunCreated(1, "run", {"x": [0.0, 1.0]}, seed=3, objective="train:f", limits={"n_trials": 9}),
    RunResumed(1, 77, "host", "127.0.0.1:9", {"hpdist": "0.1.0"}),
    WorkerChanged("joined", WorkerInfo("w", "0123456789abcdef", "host", 78), forgiven=[1]),
    JobCreated(Job(0, 0, 1.0, 1, 2, "w"), Trial(0, (0, 0, 0), {"x": 0.5}, {"model": True})),
    JobCreated(Job(1, 0, 3.0, retry_of=0)),
    AttemptStarted(0, 1, "w"),
    ReportReceived(0, 1, 5, 0.25),
    AttemptEnded(0, 1, "w", Success(0.5, 2.0, {"é": [1, None]}), True, 0.5, 1.7e9, "out\n"),
    AttemptEnded(1, 1, "w", Failure(FailureKind.CRASH, "killed", "Traceback"), False),
    AttemptEnded(1, 2, "w", None),
    Controlled("extend", {"n_trials": 10}),
    RunEnded("finished", "all done"),
)


@functools.cache
def scratch() -> tempfile.TemporaryDirectory[str]:
    """Where files are written for a moment."""
    return tempfile.TemporaryDirectory(prefix="hpdist-fuzz-")


def close() -> None:
    """Remove what was written."""
    if scratch.cache_info().currsize:
        scratch().cleanup()
        scratch.cache_clear()


def _file(name: str, data: bytes) -> Path:
    path = Path(scratch().name, name)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(fd, "wb") as file:
        file.write(data)
    return path


# ------------------------------------------------------------------- journals


def _lines(*payloads: bytes) -> bytes:
    """A journal of these texts, with the checksums that they should have."""
    crc, lines = 0, []
    for payload in payloads:
        crc = zlib.crc32(payload, crc)
        lines.append(b"%08x %08x %b\n" % (len(payload), crc, payload))
    return b"".join(lines)


def _journal(data: bytes) -> None:
    """It is read in one go as in two, and each record that is found can be written again."""
    found = journal_format.scan(data)
    assert 0 <= found.good_bytes <= found.total_bytes == len(data)
    for at, record in found.records:
        line, _ = journal_format.encode(record, at, 0)
        assert journal_format.scan(line).records == [(at, record)]
    path = _file("journal", data[: len(data) // 2])
    reader = JournalReader(path)
    records = reader.poll()
    with path.open("ab") as file:
        file.write(data[len(data) // 2 :])
    records += reader.poll()
    # who has not seen the end yet cannot tell damage from what is being written
    assert found.damage or records == read_journal(path).records[: len(records)]


def _payloads(data: bytes) -> None:
    _journal(_lines(*data.splitlines()))


def _record(data: bytes) -> None:
    found = json.loads(data)
    if isinstance(found, dict):
        record = record_from_json(found)
        assert record_from_json(record_to_json(record)) == record


def _written(record: Record) -> bytes:
    return json.dumps({**record_to_json(record), "at": 1.5}).encode()


# ------------------------------------------------------------------- other files


def _connection(data: bytes) -> None:
    path = _file("connection.json", data)
    note = read_connection(path)
    assert note is not None
    write_connection(path, note)
    assert read_connection(path) == note


def _key(data: bytes) -> None:
    """What is no key is refused without showing any of it."""
    path = _file("key", data)
    with mock.patch.dict(os.environ, HPDIST_KEY_FILE=str(path)):
        try:
            assert len(find_key("run")) >= 16
        except ConfigurationError as error:
            shown = str(error).replace(str(path), "")
            text = data.decode("utf-8", "replace").strip()
            assert len(text) < 8 or text[:8] not in shown or text[:8] in "0123456789abcdef"
            raise


def _command(data: bytes) -> None:
    path = _file(NAME, data).parent
    verb, options, directory = read_command(path)
    assert isinstance(verb, str)
    assert isinstance(options, dict)
    assert isinstance(directory, Path)
    write_command(path, verb, options)


def _outbox(data: bytes) -> None:
    """What a worker recovers can be reported when it registers."""
    path = _file(_LEFT, data)
    outbox = Outbox(path.parent, "w", "0" * 8)
    left = outbox.recover()
    message = {
        "worker": "w",
        "incarnation": "0" * 8,
        "request": 1,
        "epoch": 1,
        "kind": "register",
        "info": {},
    }
    results = [to_json(result) for result in as_many_as_fit(left)]
    read_message(decode(encode({**message, "results": results}))).events("book")
    outbox.set_instance("book")
    for result in left:
        outbox.forget(result.assignment)
    path.unlink(missing_ok=True)
    for file in path.parent.glob("00000000-*"):
        file.unlink()


_LEFT = "ffffffff-0-4194304@" + socket.gethostname() + ".json"  # of a process that cannot be
_TOLD = {"job_id": 1, "attempt": 1, "outcome": {"loss": 0.5, "cost": None, "info": {"a": [1]}},
         "seconds": 1.5, "started": 1.7e9, "output": "x", "worker": "w-2",
         "instance": "book"}  # fmt: skip
_NOTE = {"format": 1, "address": "127.0.0.1:9090", "run_id": "run", "pid": 77, "host": "host",
         "started": 1.7e9, "versions": {"hpdist": "0.1.0"}}  # fmt: skip
_COMMAND = {"format": 1, "verb": "run", "options": {"budget": [1.0, 9.0]}, "directory": "/home/me"}
_PAYLOADS = tuple(_written(record) for record in _RECORDS)

TARGETS = (
    Target("journal", _journal, (_lines(*_PAYLOADS), _lines(*_PAYLOADS[:2])), (JournalError,)),
    Target("journal records", _payloads, (b"\n".join(_PAYLOADS),), (JournalError,), LINES),
    Target("record", _record, _PAYLOADS, (KeyError, TypeError, ValueError, RecursionError), JSON),
    Target(
        "connection file", _connection, (json.dumps(_NOTE).encode(),), (ConfigurationError,), JSON
    ),
    Target("key file", _key, (b"0123456789abcdef" * 4 + b"\n",), (ConfigurationError,)),
    Target("result in the outbox", _outbox, (json.dumps(_TOLD).encode(),), (), JSON),
    Target("command file", _command, (json.dumps(_COMMAND).encode(),), (ConfigurationError,), JSON),
)

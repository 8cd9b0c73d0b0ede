"""Waiting for the other parts of a run, and knowing when that is in vain."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpdist.cluster import waiting
from hpdist.cluster.discovery import RunAddress
from hpdist.cluster.nameserver import NameServer
from hpdist.cluster.run_host import RunHost, RunNameServer, answers
from hpdist.cluster.service import Listening, Service
from hpdist.cluster.waiting import find_nameserver, wait_for
from hpdist.core.journal.connection_file import write_connection
from hpdist.core.journal.run_directory import RunDirectory
from hpdist.core.model.errors import (
    AuthenticationError,
    ConfigurationError,
    MasterNotFound,
    NameServerNotFound,
    ProtocolMismatch,
    TransportError,
)
from hpdist.core.run.assembly import RunInstance

KNOWN = RunAddress("r", "127.0.0.1", 1)
UNKNOWN = RunAddress("r", directory=Path("r"))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time that passes only while somebody sleeps."""
    now = [0.0]
    monkeypatch.setattr(waiting.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(waiting.time, "sleep", lambda s: now.__setitem__(0, now[0] + s))


def answers_of(*steps: object) -> Callable[[], object]:
    left = list(steps)

    def find() -> object:
        step = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(step, Exception):
            raise step
        return step

    return find


@pytest.mark.usefixtures("clock")
class TestWaiting:
    def test_it_tries_until_it_is_there(self) -> None:
        find = answers_of(NameServerNotFound("a"), MasterNotFound("b"), "here")
        assert wait_for(KNOWN, find) == "here"

    @pytest.mark.parametrize("kind", [AuthenticationError, ProtocolMismatch])
    def test_what_waiting_cannot_mend_is_raised_at_once(self, kind: type[TransportError]) -> None:
        with pytest.raises(kind):
            wait_for(KNOWN, answers_of(kind("x"), "here"))

    def test_patience_ends_where_nothing_answers(self) -> None:
        with pytest.raises(NameServerNotFound):
            wait_for(KNOWN, answers_of(NameServerNotFound("x")), timeout_s=300)

    @pytest.mark.parametrize(
        ("run_address", "error"),
        [(KNOWN, MasterNotFound("x")), (UNKNOWN, NameServerNotFound("no file yet"))],
    )
    def test_what_was_not_started_yet_is_waited_for_without_limit(
        self, run_address: RunAddress, error: TransportError
    ) -> None:
        find = answers_of(*[error] * 1000, "here")
        assert wait_for(run_address, find, timeout_s=10) == "here"

    def test_without_patience_nothing_is_waited_for(self) -> None:
        with pytest.raises(NameServerNotFound):
            wait_for(UNKNOWN, answers_of(NameServerNotFound("x"), "here"), timeout_s=0)

    def test_it_gives_up_when_told(self) -> None:
        over = iter([False, False, True])
        find = answers_of(MasterNotFound("x"))
        assert wait_for(KNOWN, find, give_up=lambda: next(over)) is None

    def test_it_says_what_it_waits_for_once_a_minute(
        self, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        told: list[str] = []
        monkeypatch.setattr(waiting.logger, "warning", lambda text, error: told.append(str(error)))
        wait_for(KNOWN, answers_of(*[MasterNotFound("x")] * 150, "here"))
        assert told == ["x"] * 3

    def test_an_unknown_host_is_not_waited_for(self) -> None:
        run_address = RunAddress("r", "no-such-host.invalid", 1)
        with pytest.raises(NameServerNotFound, match="that one"):
            wait_for(run_address, answers_of(NameServerNotFound("that one"), "here"))


def test_a_key_is_needed_where_the_nameserver_is_on_another_machine() -> None:
    with pytest.raises(ConfigurationError, match="no key"):
        RunAddress("r", "192.0.2.1").key()
    assert RunAddress("r", "127.0.0.1").key() == RunAddress("r", "no-such-host.invalid").key()


def test_a_nameserver_is_found_before_any_master(directory: Path) -> None:
    with NameServer("r", directory) as server:
        host, port = server.start()
        assert find_nameserver(RunAddress("r", directory=directory / "r")) == f"{host}:{port}"


# ------------------------------------------------------------------ the nameserver of a run host


def test_a_directory_may_be_called_anything(directory: Path) -> None:
    path = directory / "my run.1"
    with RunNameServer(path, Listening()) as server:
        assert server.run_id == "my-run-1"
        assert RunDirectory(path).connection.exists()
        assert answers(RunAddress(server.run_id, directory=path))
    assert not answers(RunAddress("my-run-1", directory=path))


def test_a_nameserver_that_is_gone_does_not_answer(directory: Path) -> None:
    path = directory / "r"
    path.mkdir()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        note = {"format": 1, "run_id": "r", "pid": 1, "host": "h", "started": 0.0, "versions": {}}
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        write_connection(RunDirectory(path).connection, {**note, "address": address})
        assert not answers(RunAddress("r", directory=path))


def test_a_run_host_that_nobody_joins_says_why_and_stops(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpdist.cluster.run_host.CHECK_EVERY_S", 0.01)
    monkeypatch.setattr("hpdist.cluster.worker_watch.NO_WORKERS_EVERY_S", 0.02)
    said: list[str] = []
    monkeypatch.setattr(
        "hpdist.cluster.run_host.logger.warning", lambda text, *more: said.append(text % more)
    )
    with NameServer("r", directory):
        run_address = RunAddress("r", directory=directory / "r")
        host = RunHost(Service(run_address), min_workers=2, worker_timeout_s=0.2)
        posted = serve(host)
    assert host.failure is not None
    assert "0 of 2 workers joined run 'r'" in host.failure.what
    assert any("0 of 2 workers joined" in each for each in said)
    assert [event.command for event in posted] == ["pause", "stop"]


def serve(host: RunHost) -> list[Any]:
    """Start a host for a run without records until it gives up; return what it posted."""
    posted: list[Any] = []

    host.take_over(RunInstance("this"))
    host.start(posted.extend)
    try:
        until = time.monotonic() + 30
        while host.failure is None and time.monotonic() < until:
            time.sleep(0.01)
    finally:
        host.close(1.0)
    return posted

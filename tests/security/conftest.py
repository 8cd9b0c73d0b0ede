"""Each test knows no key but those that it makes, and leaves no thread behind."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from attackers import KEY, Address, echo, eventually

from hpdist.cluster.nameserver import NameServer
from hpdist.cluster.transport.dispatcher_server import Server
from hpdist.core.journal.run_key import find_key


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name in [name for name in os.environ if name.startswith(("HPDIST_", "PYRO_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setattr("hpdist.core.journal.run_key._environment_key", None)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    # It is for whole processes, and these tests speak to Pyro4 as strangers do.
    monkeypatch.setattr("hpdist.cluster.transport.pyro.harden_process", lambda: None)
    log = logging.getLogger("hpdist")
    before = log.handlers, log.level, log.propagate
    terminate, there = signal.getsignal(signal.SIGTERM), set(threading.enumerate())
    yield tmp_path / "home"
    signal.signal(signal.SIGTERM, terminate)
    log.handlers, log.propagate = before[0], before[2]
    log.setLevel(before[1])
    for name in ("HPDIST_KEY_FILE", "HPDIST_KEY"):
        os.environ.pop(name, None)
    eventually(lambda: not _own_threads() - there, "the end of all threads")


def _own_threads() -> set[threading.Thread]:
    ours = ("hpdist-pyro", "hpdist-nameserver", "rogue", "idlers")
    return {each for each in threading.enumerate() if each.name.startswith(ours)}


class Door(NamedTuple):
    """A daemon of hpdist, and a method that its object has."""

    address: Address
    object_id: str
    method: str
    key: bytes


@pytest.fixture
def dispatcher() -> Iterator[Door]:
    server = Server(echo, echo, key=KEY, host="127.0.0.1")
    yield Door(server.start(), "hpdist", "exchange", KEY)
    server.close()


@pytest.fixture
def nameserver(tmp_path: Path) -> Iterator[Door]:
    with NameServer("mnist", tmp_path) as server:
        address = server.start()
        key = find_key("mnist", tmp_path / "mnist", create=False)
        yield Door(address, "Pyro.NameServer", "list", key)


@pytest.fixture(params=["dispatcher", "nameserver"])
def door(request: pytest.FixtureRequest) -> Door:
    found: Door = request.getfixturevalue(request.param)
    return found

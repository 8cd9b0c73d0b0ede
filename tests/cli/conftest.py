"""Each test has a directory to itself, and finds no key and no option of anybody else's."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cli_scene import Commands, Program


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name in [name for name in os.environ if name.startswith("HPDIST_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr("hpdist.core.journal.run_key._environment_key", None)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    # It is for whole processes, and other tests of this one speak to Pyro4 as strangers do.
    monkeypatch.setattr("hpdist.cluster.transport.pyro.harden_process", lambda: None)
    log = logging.getLogger("hpdist")
    before = log.handlers, log.level, log.propagate
    terminate = signal.getsignal(signal.SIGTERM)
    yield tmp_path
    signal.signal(signal.SIGTERM, terminate)
    log.handlers, log.propagate = before[0], before[2]
    log.setLevel(before[1])


@pytest.fixture
def hpdist(capsys: pytest.CaptureFixture[str]) -> Commands:
    return Commands(capsys)


@pytest.fixture
def start() -> Iterator[Callable[..., Program]]:
    programs = []

    def begin(*arguments: object, **options: dict[str, str]) -> Program:
        programs.append(Program(*arguments, **options))
        return programs[-1]

    yield begin
    for program in programs:
        program.close()

"""Each test has a directory and a home of its own."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name in [name for name in os.environ if name.startswith("HPDIST_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr("hpdist.core.journal.run_key._environment_key", None)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("hpdist.cluster.transport.pyro.harden_process", lambda: None)
    log = logging.getLogger("hpdist")
    before = log.handlers, log.level, log.propagate
    yield tmp_path
    log.handlers, log.propagate = before[0], before[2]
    log.setLevel(before[1])

"""What the tests of the command line share: commands in this process, and programs beside it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from hpdist.cli.main import run
from hpdist.core.journal.reader import read_journal
from hpdist.core.model.events import Record

LIMIT_S = 60.0

BOWL = """
import hpdist

def objective(config, budget):
    return (config["x"] - 0.3) ** 2 + 1 / budget

space = {"x": hpdist.Float(-1, 1), "kind": ["a", "b"]}
budget = (1, 9)
"""

#: Evaluations leave a note that they began, and wait for a file ``go``.
WAITING = """
import time
from pathlib import Path

HERE = Path(__file__).parent
space = {"x": (0.0, 1.0)}

def train(config, budget, ctx):
    (HERE / f"began-{ctx.trial_id}-{ctx.attempt}").touch()
    until = time.monotonic() + 60
    while not (HERE / "go").exists():
        if time.monotonic() > until:
            raise TimeoutError("nobody said go")
        time.sleep(0.01)
    return config["x"]
"""


class Said(NamedTuple):
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Commands:
    """Runs commands within this process."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture

    def __call__(self, *arguments: object) -> Said:
        self._capture.readouterr()
        code = run([str(each) for each in arguments])
        return Said(code, *self._capture.readouterr())


class Program:
    """A command in a process of its own, in a session of its own."""

    def __init__(self, *arguments: object, env: dict[str, str] | None = None) -> None:
        self.name = str(arguments[0])
        self._log = Path(f"{self.name}-{time.monotonic_ns()}.log").resolve()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "hpdist.cli.main", *map(str, arguments)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                env={**os.environ, **(env or {})},
                text=True,
            )

    @property
    def told(self) -> str:
        """What it wrote to standard error by now."""
        return self._log.read_text()

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def end(self) -> Said:
        """Wait for its end."""
        out, _ = self._process.communicate(timeout=LIMIT_S)
        return Said(self._process.returncode, out, self.told)

    def close(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate()


def eventually(holds: Callable[[], Any], what: str = "it") -> Any:
    """Wait until ``holds()`` is true and return what it gave."""
    until = time.monotonic() + LIMIT_S
    while not (found := holds()):
        assert time.monotonic() < until, f"{what} did not happen within {LIMIT_S:g} s"
        time.sleep(0.02)
    return found


def records(run: Path) -> Sequence[Record]:
    return [record for _, record in read_journal(run / "journal").records]


def write(name: str, text: str) -> Path:
    path = Path(name)
    path.write_text(text)
    return path

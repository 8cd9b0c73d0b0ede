"""What the README says is true: its code runs, and so do its commands."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.rst").read_text()
LIMIT_S = 90.0


def commands(prompt: str = r"[A-Z]?\$") -> list[str]:
    """The shell commands behind a prompt, without their comments."""
    found = re.findall(rf"^    {prompt} (.*)$", README, re.MULTILINE)
    return [command.partition("  #")[0].strip() for command in found]


def script() -> tuple[str, str]:
    """Name and text of the Python block."""
    block = re.search(r"\.\. code-block:: python\n\n((?:    .*\n|\n)+)", README)
    assert block is not None
    text = textwrap.dedent(block[1])
    name = re.match(r"# (\S+\.py)\n", text)
    assert name is not None
    return name[1], text


class Terminal:
    """Runs commands in one directory; ends what is left of them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._running: list[subprocess.Popen[str]] = []

    def start(self, command: str) -> subprocess.Popen[str]:
        words = shlex.split(command)
        assert words[0] in ("hpdist", "python")
        module = ["-m", "hpdist.cli.main"] if words[0] == "hpdist" else []
        process = subprocess.Popen(
            [sys.executable, *module, *words[1:]],
            cwd=self.directory,
            env={**os.environ, "HOME": str(self.directory / "home")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._running.append(process)
        return process

    def run(self, command: str) -> str:
        process = self.start(command)
        said, _ = process.communicate(timeout=LIMIT_S)
        assert process.returncode == 0, f"{command} said:\n{said}"
        return said

    def close(self) -> None:
        for process in self._running:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate(timeout=LIMIT_S)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    name, text = script()
    (tmp_path / name).write_text(text)
    terminal = Terminal(tmp_path)
    yield terminal
    terminal.close()


def test_two_commands_do_all_the_set_up() -> None:
    assert '\n    pip install ".[demo]" && hpdist demo\n' in README
    assert '\n    pip install ".[test]" && pytest\n' in README


@pytest.mark.slow
def test_the_first_command_tunes_a_network(terminal: Terminal) -> None:
    said = terminal.run("hpdist demo")
    assert "finished: 69 evaluations" in said
    assert "hpdist-runs/demo" in said


def test_five_lines_find_a_configuration(terminal: Terminal) -> None:
    said = terminal.run(f"python {script()[0]}")
    assert "best      loss 0." in said
    assert "69 completed" in said


def test_three_terminals_and_what_follows(terminal: Terminal) -> None:
    three = [command for command in commands(r"[A-C]\$") if command.startswith("hpdist")]
    assert [command.split()[1] for command in three] == ["nameserver", "worker", "master"]
    nameserver, worker, master = (command.replace("--nic eth0", "") for command in three)
    others = [terminal.start(nameserver), terminal.start(worker)]
    terminal.run(master)
    assert others[1].wait(LIMIT_S) == 0, "the worker did not leave with the run"
    others[0].terminate()
    assert others[0].wait(LIMIT_S) == 0
    looks = [command for command in commands(r"\$") if command.startswith("hpdist")]
    assert [command.split()[1] for command in looks] == ["status", "results", "resume"]
    for command in looks:
        assert terminal.run(command)


def test_each_verb_it_names_exists() -> None:
    from hpdist.cli import main

    verbs = set(re.findall(r"``hpdist (\w+)", README)) - {"COMMAND"}
    assert verbs
    assert verbs <= set(main.VERBS)

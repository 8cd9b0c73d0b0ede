"""The processes of a soak as its driver sees them: spawner, workers, master, proxy."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

SCRIPTS = Path(__file__).with_name("soak_scripts")
PROXY = Path(__file__).parents[1] / "faults" / "call_proxy.py"

_TAIL_BYTES = 100_000

Line = dict[str, Any]


class Diary:
    """What was done to the processes and what they did by themselves, a line each."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def note(self, line: Line) -> None:
        with self._path.open("a") as file:
            file.write(json.dumps({"at": time.time(), **line}) + "\n")


def start(directory: Path, name: str, command: list[str], **options: Any) -> Any:
    """Start a process whose words are added to ``<name>.out``.

    It is in a session of its own, so that Ctrl-C reaches nobody but the driver.
    """
    with (directory / f"{name}.out").open("ab") as out:
        options = {"stdout": out, "stdin": subprocess.PIPE, **options}
        return subprocess.Popen(
            [sys.executable, *command],
            cwd=directory,
            env={**os.environ, "HOME": str(directory / "home"), "OPENBLAS_NUM_THREADS": "1"},
            stderr=out,
            start_new_session=True,
            **options,
        )


def end(process: subprocess.Popen[bytes]) -> None:
    """Close its input, which tells it to end, and have it killed if it does not."""
    with suppress(BrokenPipeError):
        if process.stdin is not None:
            process.stdin.close()
    try:
        process.wait(10.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def tail(path: Path, size: int) -> bytes:
    """The last bytes of a file; none if there is no file."""
    if not path.exists():
        return b""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - size))
        return file.read()


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Workers:
    """The workers: forked, stopped and killed by a spawner, which tells what happened."""

    def __init__(self, directory: Path, settings: Line, diary: Diary) -> None:
        self.alive: dict[int, float] = {}  #: when each was born, in order
        self.unexpected: list[Line] = []  #: those that failed, though nobody killed them
        self._diary = diary
        self._doomed: set[int] = set()
        self._text = b""
        self._process = start(
            directory,
            "workers",
            [str(SCRIPTS / "spawner.py"), json.dumps(settings)],
            stdout=subprocess.PIPE,
        )
        os.set_blocking(self._process.stdout.fileno(), False)

    def fork(self) -> None:
        self._tell(do="fork")

    def signal(self, pid: int, number: int) -> None:
        if number == signal.SIGKILL:
            self._doomed.add(pid)
        self._tell(do="signal", pid=pid, signal=int(number))

    def listen(self) -> None:
        """Take in what happened since."""
        self._text += self._process.stdout.read() or b""
        *lines, self._text = self._text.split(b"\n")
        for line in map(json.loads, lines):
            self._diary.note(line)
            if line["event"] == "born":
                self.alive[line["pid"]] = line["at"]
            elif line["event"] == "died":
                self.alive.pop(line["pid"], None)
                if line["pid"] not in self._doomed and line["code"] != 0:
                    self.unexpected.append(line)

    def choose(self, rng: Any, spared: int) -> int | None:
        """One that is alive and does not belong to the first ``spared``; None if there is none."""
        candidates = [pid for pid in list(self.alive)[spared:] if pid not in self._doomed]
        return rng.choice(candidates) if candidates else None

    def close(self) -> None:
        end(self._process)

    def _tell(self, **command: Any) -> None:
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        self._process.stdin.flush()


class Masters:
    """The master, and the ones after it."""

    def __init__(self, directory: Path, settings: Line, diary: Diary) -> None:
        self._directory, self._diary = directory, diary
        self._command = [str(SCRIPTS / "master.py"), json.dumps(settings)]
        self._process: Any = None
        self._up = directory / "up"
        self._journal = directory / settings["run"] / "journal"

    @property
    def pid(self) -> int:
        return int(self._process.pid)

    @property
    def code(self) -> int | None:
        """How it ended; None while it has not."""
        code: int | None = self._process.poll()
        return code

    @property
    def is_up(self) -> bool:
        """Whether workers can call."""
        return self._up.exists() and self._up.read_text() == str(self.pid)

    def start(self) -> None:
        """Start one, for the run as it is by now."""
        self._process = start(self._directory, "master", self._command)

    def replace(self) -> None:
        """Kill it, and start the next one at once; one that has ended the run may go in peace.

        A master that is called after the end would begin another iteration, as it is meant to.
        """
        self._process.send_signal(signal.SIGSTOP)
        if b'"kind":"ended"' in tail(self._journal, _TAIL_BYTES):
            self._process.send_signal(signal.SIGCONT)
            return
        self._process.kill()
        end(self._process)
        self._diary.note({"event": "master killed", "pid": self.pid})
        self.start()

    def close(self) -> None:
        if self._process is not None:
            end(self._process)

"""What a process uses, looked at from outside."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path

import psutil


class Samples:
    """Notes memory, threads and open files of processes, now and then."""

    def __init__(self, path: Path, every_s: float) -> None:
        self._path, self._every_s = path, every_s
        self._next = time.monotonic()

    def take(self, who: dict[int, str]) -> None:
        """Look at each of these processes, if it is time."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + self._every_s
        for pid, name in who.items():
            with suppress(psutil.NoSuchProcess):
                self._note({"who": name, "pid": pid, "at": time.time(), **look(pid)})

    def _note(self, sample: dict[str, object]) -> None:
        with self._path.open("a") as file:
            file.write(json.dumps(sample) + "\n")


def look(pid: int | None = None) -> dict[str, int]:
    """Return what a process uses by now, by default this one."""
    process = psutil.Process(pid)
    with process.oneshot():
        return {
            "rss": process.memory_info().rss,
            "threads": process.num_threads(),
            "fds": process.num_fds(),
        }

"""What refusing bad input promises: no file changed, no thread and no process left."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

Tree = dict[str, tuple[int, bytes]]


def snapshot(directory: Path) -> Tree:
    """Everything below a directory: path, mode, and bytes or target."""
    found: Tree = {}
    for path in sorted(directory.rglob("*")):
        status = path.lstat()
        content = b"" if path.is_dir() else path.read_bytes()
        found[str(path.relative_to(directory))] = (status.st_mode, content)
    return found


def running() -> set[tuple[str, int]]:
    """Threads and children of this process."""
    threads = {("thread " + each.name, each.native_id or 0) for each in threading.enumerate()}
    children = {("process", child.pid) for child in psutil.Process(os.getpid()).children(True)}
    return threads | children


@contextmanager
def untouched(directory: Path) -> Iterator[None]:
    """Fail if the block changes a file below ``directory``, or leaves anything running."""
    before, there = snapshot(directory), running()
    try:
        yield
    finally:
        after = snapshot(directory)
        differing = {path for path in before | after if before.get(path) != after.get(path)}
        assert not differing, f"changed: {sorted(differing)}"
        assert not running() - there, f"left running: {running() - there}"

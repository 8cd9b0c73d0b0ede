"""A disk in memory that loses unsynced changes in a crash, and can be made to fail.

The contents that processes see and those that survive a power cut are separate. When the machine
crashes, each write, truncation and rename since the last sync is kept, lost or, for writes, torn,
as the seed decides. A failed sync behaves as on Linux: pages that could not be written count as
clean from then on, so processes see them although the disk may not have them; each other open
file reports the failure at its next sync, once.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np

from hpdist.core.journal.disk import Disk

Change = tuple[int, bytes | None]
"""(offset, bytes) of a write; (size, None) of a truncation."""

MAX_PARTS = 3
"""Parts into which a write is torn, each of which is kept or lost."""


class Dead(BaseException):
    """Raised in a dead process for each call that it makes, those in clean-up code included."""


@dataclass(eq=False)
class File:
    """A file or, with ``data`` unused, a directory."""

    data: bytearray = field(default_factory=bytearray)  #: contents as seen by processes
    durable: bytearray = field(default_factory=bytearray)  #: contents that certainly survive
    pending: list[Change] = field(default_factory=list)  #: changes since the last sync
    locked_by: int | None = None  #: the open file that holds the lock
    errors: int = 0  #: number of failed syncs


@dataclass
class Opened:
    """An open file of a process; ``file`` is None for a directory."""

    path: Path
    file: File | None
    append: bool
    position: int = 0
    seen: int = 0  #: number of the file's failed syncs that were reported to it


class SimulatedDisk:
    """The disk of one machine; processes use it through `process`.

    Parameters
    ----------
    seed
        Decides which unsynced changes a crash keeps.

    Attributes
    ----------
    before
        Called before each call with its name and its process. It may raise OSError to let the
        call fail, or `Dead` to kill the process.
    room
        Number of free bytes; negative for no limit.
    """

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.names: dict[Path, File] = {}
        self.room = -1
        self.crashes = 0  #: number of crashes of the machine
        self.before: Callable[[str, SimulatedProcess], None] = lambda call, process: None
        self._kept: dict[Path, File] = {}  #: names that are durable
        self._moves: list[dict[Path, File | None]] = []  #: changes of names since a sync, in order
        self._processes: list[SimulatedProcess] = []

    def process(self) -> SimulatedProcess:
        """Return the system calls of a new process."""
        self._processes.append(SimulatedProcess(self))
        return self._processes[-1]

    def durable(self, path: Path) -> bytes:
        """Return the contents of a file that certainly survive a crash."""
        file = self._kept.get(path)
        return bytes(file.durable) if file else b""

    def read(self, path: Path) -> bytes:
        """Return the contents of a file as processes see them."""
        return bytes(self.names[path].data)

    def paths(self) -> list[Path]:
        return sorted(self.names)

    def crash(self) -> None:
        """Crash the machine: unsynced changes are kept, lost or torn, and all processes die."""
        self.crashes += 1
        for process in self._processes:
            process.die()
        self._processes.clear()
        for move in self._moves:
            if self.rng.random() < 0.5:
                _apply_names(self._kept, move)
        self._moves.clear()
        self.names = dict(self._kept)
        for file in set(self.names.values()):
            self._flush_some(file)
            file.data = bytearray(file.durable)

    # ------------------------------------------------------------------ for processes

    def move(self, change: dict[Path, File | None]) -> None:
        _apply_names(self.names, change)
        self._moves.append(change)

    def sync_names(self, directory: Path) -> None:
        there = [move for move in self._moves if directory in {path.parent for path in move}]
        for move in there:
            _apply_names(self._kept, move)
            self._moves.remove(move)

    def sync(self, file: File) -> None:
        for change in file.pending:
            _apply(file.durable, change)
        file.pending.clear()

    def fail_sync(self, file: File) -> None:
        """Lose some of the pending changes, and count all of them as written."""
        file.errors += 1
        self._flush_some(file)

    def forget(self, file: File) -> None:
        """Let processes see the durable contents and the pending changes only."""
        file.data = bytearray(file.durable)
        for change in file.pending:
            _apply(file.data, change)

    def take_room(self, wanted: int) -> int:
        if self.room < 0:
            return wanted
        if self.room == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = min(wanted, self.room)
        self.room -= written
        return written

    def _flush_some(self, file: File) -> None:
        """Make each pending change durable or lose it, at random."""
        for change in file.pending:
            for part in self._parts(change):
                if self.rng.random() < 0.5:
                    _apply(file.durable, part)
        file.pending.clear()
        missing = len(file.data) - len(file.durable)
        if missing > 0 and self.rng.random() < 0.2:
            file.durable += bytes(missing)  # the size was written, the contents were not

    def _parts(self, change: Change) -> list[Change]:
        offset, data = change
        if data is None:
            return [change]
        cuts = self.rng.integers(0, len(data) + 1, size=self.rng.integers(MAX_PARTS))
        edges = [0, *sorted(int(cut) for cut in cuts), len(data)]
        spans = pairwise(edges)
        return [(offset + start, data[start:end]) for start, end in spans if start < end]


class SimulatedProcess(Disk):
    """The system calls of one process on a simulated disk."""

    def __init__(self, disk: SimulatedDisk) -> None:
        self.disk = disk
        self.dead = False
        self._opened: dict[int, Opened] = {}

    def die(self) -> None:
        """Kill the process: its locks are released, its writes stay visible."""
        self.dead = True
        for fd in list(self._opened):
            self._drop(fd)

    def open(self, path: Path, flags: int) -> int:
        self._call("open")
        names, file = self.disk.names, None
        if not flags & os.O_DIRECTORY:
            if path in names and flags & os.O_EXCL:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
            if path not in names:
                if not flags & os.O_CREAT:
                    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
                self.disk.move({path: File()})
            file = names[path]
        fd = 1 + max(self._opened, default=2)
        seen = file.errors if file else 0
        self._opened[fd] = Opened(path, file, bool(flags & os.O_APPEND), seen=seen)
        return fd

    def close(self, fd: int) -> None:
        self._call("close")
        self._drop(fd)

    def read(self, fd: int) -> bytes:
        self._call("read")
        return bytes(self._file(fd).data)

    def write(self, fd: int, data: bytes) -> int:
        file, opened, crashes = self._file(fd), self._opened[fd], self.disk.crashes
        try:
            self._call("write")
        except Dead:
            if crashes == self.disk.crashes:  # only the process died, maybe during the write
                self._put(file, opened, data[: self.disk.rng.integers(len(data) + 1)])
            raise
        return self._put(file, opened, data[: self.disk.take_room(len(data))])

    def truncate(self, fd: int, size: int) -> None:
        self._call("truncate")
        change: Change = (size, None)
        _apply(self._file(fd).data, change)
        self._file(fd).pending.append(change)

    def sync(self, fd: int) -> None:
        opened = self._opened[fd]
        try:
            self._call("sync")
        except OSError:
            if opened.file is not None:
                self.disk.fail_sync(opened.file)
                opened.seen = opened.file.errors
            raise
        if opened.file is None:
            self.disk.sync_names(opened.path)
            return
        if opened.seen < opened.file.errors:
            opened.seen = opened.file.errors
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self.disk.sync(opened.file)

    def sync_data(self, fd: int) -> None:
        self.sync(fd)

    def forget(self, fd: int) -> None:
        self._call("forget")
        self.disk.forget(self._file(fd))

    def status(self, fd: int) -> tuple[int, int]:
        self._call("status")
        file = self._file(fd)
        return len(file.data), sum(each is file for each in self.disk.names.values())

    def lock(self, fd: int) -> None:
        self._call("lock")
        file = self._file(fd)
        if file.locked_by not in (None, id(self._opened[fd])):
            raise BlockingIOError(errno.EWOULDBLOCK, os.strerror(errno.EWOULDBLOCK))
        file.locked_by = id(self._opened[fd])

    def unlock(self, fd: int) -> None:
        self._call("unlock")
        self._unlock(fd)

    def exists(self, path: Path) -> bool:
        self._call("exists")
        return path in self.disk.names

    def link(self, old: Path, new: Path) -> None:
        self._call("link")
        if new in self.disk.names:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(new))
        self.disk.move({new: self.disk.names[old]})

    def rename(self, old: Path, new: Path) -> None:
        self._call("rename")
        self.disk.move({new: self.disk.names[old], old: None})

    def unlink(self, path: Path) -> None:
        self._call("unlink")
        self.disk.move({path: None})

    def _call(self, name: str) -> None:
        if not self.dead:
            try:
                self.disk.before(name, self)
            except Dead:
                self.die()
                raise
        if self.dead:
            raise Dead

    def _file(self, fd: int) -> File:
        file = self._opened[fd].file if fd in self._opened else None
        if file is None:
            if self.dead:
                raise Dead
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return file

    def _put(self, file: File, opened: Opened, data: bytes) -> int:
        change = (len(file.data) if opened.append else opened.position, data)
        _apply(file.data, change)
        file.pending.append(change)
        opened.position += len(data)
        return len(data)

    def _unlock(self, fd: int) -> None:
        opened = self._opened[fd]
        if opened.file is not None and opened.file.locked_by == id(opened):
            opened.file.locked_by = None

    def _drop(self, fd: int) -> None:
        self._unlock(fd)
        del self._opened[fd]


def _apply(data: bytearray, change: Change) -> None:
    offset, new = change
    if len(data) < offset:
        data += bytes(offset - len(data))
    if new is None:
        del data[offset:]
    else:
        data[offset : offset + len(new)] = new


def _apply_names(names: dict[Path, File], change: dict[Path, File | None]) -> None:
    for path, file in change.items():
        if file is None:
            names.pop(path, None)
        else:
            names[path] = file

"""A disk in memory that loses what a real one may lose, and fails when it is told to.

What processes see and what would survive a power cut are kept apart. When the machine dies, each
write, cut and name since the last sync is kept, lost or, for writes, torn, as the seed decides.
A failed sync behaves as that of Linux does: what could not be written counts as clean from then
on, so memory shows it and the disk may not have it; and whoever else has the file open by then
hears of the failure at his next sync, once.
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

MAX_PIECES = 3


class Dead(BaseException):
    """The process that made this call is dead: it does nothing more, not even to tidy up."""


@dataclass(eq=False)
class File:
    """A file or, with ``data`` unused, a directory."""

    data: bytearray = field(default_factory=bytearray)  #: what processes see
    durable: bytearray = field(default_factory=bytearray)  #: what the disk has for certain
    pending: list[Change] = field(default_factory=list)  #: changes since the last sync
    locked_by: int | None = None  #: the open file that has the lock
    errors: int = 0  #: how many syncs have failed


@dataclass
class Opened:
    """An open file of a process; ``file`` is None for a directory."""

    path: Path
    file: File | None
    append: bool
    place: int = 0
    seen: int = 0  #: how many of the file's failed syncs it has heard of


class SimulatedDisk:
    """The disk of one machine; processes use it through `process`.

    Attributes
    ----------
    before
        Called with the name of each call before it is carried out, and the process that makes
        it. It may raise OSError for a call that fails, or `Dead` to end the process there.
    room
        How many bytes still fit; negative for no limit.
    """

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.names: dict[Path, File] = {}
        self.room = -1
        self.crashes = 0  #: how often the machine died
        self.before: Callable[[str, SimulatedProcess], None] = lambda call, process: None
        self._kept: dict[Path, File] = {}  #: names that are durable
        self._moves: list[dict[Path, File | None]] = []  #: changes of names since a sync, in order
        self._processes: list[SimulatedProcess] = []

    def process(self) -> SimulatedProcess:
        """Return the disk as a new process sees it."""
        self._processes.append(SimulatedProcess(self))
        return self._processes[-1]

    def durable(self, path: Path) -> bytes:
        """Return what a file holds for certain after whatever happens now."""
        file = self._kept.get(path)
        return bytes(file.durable) if file else b""

    def read(self, path: Path) -> bytes:
        """Return what processes see in a file."""
        return bytes(self.names[path].data)

    def paths(self) -> list[Path]:
        return sorted(self.names)

    def crash(self) -> None:
        """Let the machine die: unsynced changes are kept, lost or torn."""
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
            self._settle(file)
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
        """Lose some of what was pending, and believe that it is written."""
        file.errors += 1
        self._settle(file)

    def forget(self, file: File) -> None:
        """Show what the disk has, and what is still to be written to it."""
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

    def _settle(self, file: File) -> None:
        for change in file.pending:
            for part in self._pieces(change):
                if self.rng.random() < 0.5:
                    _apply(file.durable, part)
        file.pending.clear()
        missing = len(file.data) - len(file.durable)
        if missing > 0 and self.rng.random() < 0.2:
            file.durable += bytes(missing)  # the size was written, the contents were not

    def _pieces(self, change: Change) -> list[Change]:
        offset, data = change
        if data is None:
            return [change]
        cuts = self.rng.integers(0, len(data) + 1, size=self.rng.integers(MAX_PIECES))
        edges = [0, *sorted(int(cut) for cut in cuts), len(data)]
        spans = pairwise(edges)
        return [(offset + begin, data[begin:end]) for begin, end in spans if begin < end]


class SimulatedProcess(Disk):
    """The calls that one process makes to a simulated disk."""

    def __init__(self, disk: SimulatedDisk) -> None:
        self.disk, self.dead = disk, False
        self._opened: dict[int, Opened] = {}

    def die(self) -> None:
        """Let the process end as if killed: its locks are free, what it wrote stays."""
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
            if crashes == self.disk.crashes:  # killed alone, maybe in the middle of it
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
        change = (len(file.data) if opened.append else opened.place, data)
        _apply(file.data, change)
        file.pending.append(change)
        opened.place += len(data)
        return len(data)

    def _unlock(self, fd: int) -> None:
        opened = self._opened[fd]
        if opened.file is not None and opened.file.locked_by == id(opened):
            opened.file.locked_by = None

    def _drop(self, fd: int) -> None:
        self._unlock(fd)
        del self._opened[fd]


def _apply(data: bytearray, change: Change) -> None:
    place, new = change
    if len(data) < place:
        data += bytes(place - len(data))
    if new is None:
        del data[place:]
    else:
        data[place : place + len(new)] = new


def _apply_names(names: dict[Path, File], change: dict[Path, File | None]) -> None:
    for path, file in change.items():
        if file is None:
            names.pop(path, None)
        else:
            names[path] = file

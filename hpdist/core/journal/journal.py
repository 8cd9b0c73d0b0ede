"""The journal: the one durable truth of a run, and the only module that writes it.

A record is durable once `Journal.commit` has returned. One process writes (a lock and a check of
the size before each write see to it), any number may read. Together with the rule "commit, then
act" this means: a job is launched at least once and counted exactly once.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from hpdist.core.journal.disk import REAL, Disk
from hpdist.core.journal.durable_files import (
    release_lock,
    sync_directory,
    take_lock,
    temporary_copy,
    write_all,
)
from hpdist.core.journal.format import FORMAT, Damage, Entry, Scan, encode, scan
from hpdist.core.journal.reader import JournalReader, read_journal, refuse, refuse_foreign
from hpdist.core.model.errors import JournalError, JournalFull, JournalLocked
from hpdist.core.model.events import AttemptEnded, AttemptStarted, Record

__all__ = [
    "FORMAT",
    "Damage",
    "Entry",
    "Journal",
    "JournalReader",
    "MemoryJournal",
    "Scan",
    "read_journal",
    "repair",
    "scan",
]

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Journal:
    """A journal file, locked for as long as it is open. Made by `open`.

    Attributes
    ----------
    path
        The file.
    records
        What was read when it was opened.
    cut_bytes
        Length of the torn tail that was cut off then.
    """

    def __init__(
        self, path: Path, fd: int, lock: int, found: Scan, sync_every: int, disk: Disk
    ) -> None:
        self.path = path
        self.records: list[Entry] = found.records
        self.cut_bytes = found.total_bytes - found.good_bytes
        self._fd, self._lock, self._sync_every, self._disk = fd, lock, sync_every, disk
        self._crc = found.crc
        # Not what it is by now: whoever wrote since it was read would go unnoticed.
        self._size = found.good_bytes + (not found.closed)
        self._buffer: list[tuple[bytes, int]] = []  #: lines and their CRCs
        self._written = 0  #: how many bytes of the buffer are in the file already
        self._results = 0  #: not durable yet
        self._unsynced = self._started = False
        self._broken = ""
        self._closed = False

    @classmethod
    def open(
        cls, path: str | Path, *, create: bool = True, sync_every: int = 1, disk: Disk = REAL
    ) -> Journal:
        """Lock the journal, read it, and cut off a torn tail.

        Parameters
        ----------
        path
            The file. The lock is a file beside it: ``lock`` for a journal named ``journal``.
        create
            Whether to begin a new one if there is none.
        sync_every
            1 makes every commit durable. With n > 1 the disk is waited for only once n jobs have
            been settled, or something is handed out: fewer than n results are lost, and evaluated
            again, if the machine dies, none if only the process does.

        Raises
        ------
        JournalLocked
            If another process has it open.
        JournalDamaged
            If a record is bad and valid ones follow it.
        JournalVersion
            If its format is newer than `FORMAT`.
        JournalError
            If the file cannot be opened.
        """
        if sync_every < 1:
            raise JournalError(f"sync_every must be >= 1, got {sync_every!r}")
        path = Path(path)
        lock = take_lock(_lock_file(path), disk)
        fd = -1
        try:
            fd = _open(path, create, disk)
            found = scan(_read(fd, disk))
            refuse(path, found)
            _tidy(path, fd, found, disk)
            disk.unlock(fd)
            return cls(path, fd, lock, found, sync_every, disk)
        except BaseException as error:
            _release(fd, lock, disk)
            if isinstance(error, OSError):
                raise _unusable(path, error) from error
            raise

    def append(self, record: Record, at: float) -> None:
        """Add a record to those that the next `commit` writes.

        ``at`` is the wall time in seconds since 1970.

        Raises
        ------
        JournalError
            If the record is not plain JSON; nothing is added then.
        """
        crc = self._buffer[-1][1] if self._buffer else self._crc
        # Line and CRC in one step: an interrupt in between would break the chain.
        joined = bool(self._buffer) or self._unsynced
        self._buffer.append(encode(record, at, crc, joined))
        self._results += isinstance(record, AttemptEnded) and record.final
        # Attempt numbers tell an old result from a new one, so none may be used twice.
        self._started = self._started or isinstance(record, AttemptStarted)

    def commit(self) -> None:
        """Write what was added, all at once, and wait until it is durable.

        Raises
        ------
        JournalFull
            If the disk is full. Nothing is lost: the next commit goes on where this one stopped.
        JournalError
            If another process wrote to the file, or the disk reported an error. What is durable
            is then unknown, so every later commit fails as well: open the journal anew.
        """
        if self._broken or self._closed:
            raise JournalError(f"nothing can be written to {self.path}: {self._broken or 'closed'}")
        self._check_alone()
        if not (self._buffer or self._unsynced):
            return
        self._write_buffer()
        if self._started or self._results >= self._sync_every or self._sync_every == 1:
            self._make_durable()
        # Somebody may have written between the look before and the write: then these records
        # are in the wrong place, and nobody may act on them.
        self._check_alone()

    def close(self) -> None:
        """Commit what is left and release the lock; a second call does nothing."""
        if self._closed:
            return
        try:
            if not self._broken and (self._buffer or self._unsynced):
                self.commit()
                self._make_durable()
        finally:
            self._closed = True
            _release(self._fd, self._lock, self._disk)

    def _check_alone(self) -> None:
        size, names = self._disk.status(self._fd)
        expected = self._size + self._written
        if size == expected and names:
            return
        self._broken = "it was changed by another writer" if names else "it was deleted"
        raise JournalError(
            f"the journal {self.path} cannot be continued: {self._broken}",
            cause=f"it should have {expected} bytes and has {size}; something other "
            "than this process touched it",
            do="find out what did; then run the same command again to resume",
        )

    def _write_buffer(self) -> None:
        """Write the buffer, from where the last try stopped.

        What a full disk took of it stays: cutting it off could cut off what another process,
        which took this one for dead, has written since.
        """
        if not self._buffer:
            return
        data, crc = b"".join(line for line, _ in self._buffer), self._buffer[-1][1]
        try:
            while self._written < len(data):
                self._written += self._disk.write(self._fd, data[self._written :])
        except OSError as error:
            if error.errno in _FULL:
                raise self._full(error, len(data) - self._written) from error
            raise self._failed(error) from error
        except BaseException:
            # It may have come between a write and the counting of its bytes.
            self._written = self._disk.status(self._fd)[0] - self._size
            raise
        self._unsynced = True
        self._size, self._crc = self._size + len(data), crc
        self._written, self._buffer = 0, []

    def _make_durable(self) -> None:
        if not self._unsynced:
            return
        try:
            self._disk.sync_data(self._fd)
        except OSError as error:
            # After a failed sync the kernel may drop the pages and call the next one a success.
            raise self._failed(error) from error
        self._unsynced = self._started = False
        self._results = 0

    def _full(self, error: OSError, wanted: int) -> JournalFull:
        return JournalFull(
            f"the journal {self.path} cannot grow by {wanted} bytes",
            cause=str(error.strerror),
            do=f"make room on the disk of {self.path.parent}; nothing is lost so far",
        )

    def _failed(self, error: OSError) -> JournalError:
        self._broken = f"an earlier write failed ({error.strerror})"
        return JournalError(
            f"the journal {self.path} cannot be written",
            cause=str(error.strerror),
            do="check the disk; then run the same command again to resume",
        )


class MemoryJournal:
    """A journal that lives and dies with the process, for simulated and throw-away runs."""

    def __init__(self) -> None:
        self.path: Path | None = None
        self.records: list[Entry] = []
        self.cut_bytes = 0

    def append(self, record: Record, at: float) -> None:
        """Add a record; ``at`` is the wall time in seconds since 1970."""
        self.records.append((at, record))

    def commit(self) -> None:
        """Do nothing: there is nothing to wait for."""

    def close(self) -> None:
        """Do nothing: the records stay readable."""


def repair(path: str | Path, disk: Disk = REAL) -> int:
    """Cut a damaged journal down to the whole records at its beginning.

    A copy is kept beside it, named ``<path>.damaged-<n>``.

    Returns
    -------
    cut
        Number of bytes cut off; 0 if the journal was whole.
    """
    path = Path(path)
    lock = take_lock(_lock_file(path), disk)
    fd = -1
    try:
        fd = _open(path, False, disk)
        data = _read(fd, disk)
        found = scan(data)
        refuse_foreign(path, found)
        if found.good_bytes < found.total_bytes:
            _keep_copy(path, data, disk)
        _tidy(path, fd, found, disk)
    except OSError as error:
        raise _unusable(path, error) from error
    finally:
        _release(fd, lock, disk)
    return found.total_bytes - found.good_bytes


def _open(path: Path, create: bool, disk: Disk) -> int:
    fd = disk.open(path, os.O_RDWR | os.O_APPEND | (os.O_CREAT if create else 0))
    try:
        # Until it is tidied: the lock beside it may have been removed by force, and whoever
        # stood still before a cut would later cut off what others wrote.
        disk.lock(fd)
        # Always: whoever made the file may not have come to this.
        sync_directory(path.parent, disk)
    except BaseException as error:
        disk.close(fd)
        if isinstance(error, BlockingIOError):
            raise JournalLocked(
                f"the journal {path} is being opened by another process",
                do="wait until that has happened, or stop that process",
            ) from error
        raise
    return fd


def _read(fd: int, disk: Disk) -> bytes:
    """Return what the disk holds: what is read is acted on.

    Its writer may have died before it was durable, or because it could not be made durable; then
    memory shows what the disk has not got.
    """
    disk.sync(fd)
    disk.forget(fd)
    return disk.read(fd)


def _tidy(path: Path, fd: int, found: Scan, disk: Disk) -> None:
    """Cut the file to its good records, end the last one with a newline, make it all durable."""
    if disk.status(fd)[0] != found.total_bytes:
        raise JournalError(
            f"the journal {path} grew while it was read",
            cause="another process writes it, although its lock is free",
            do="stop that process first",
        )
    if found.good_bytes < found.total_bytes:
        disk.truncate(fd, found.good_bytes)
    if not found.closed:
        write_all(fd, b"\n", disk)
    disk.sync(fd)


def _keep_copy(path: Path, data: bytes, disk: Disk) -> None:
    copy = temporary_copy(path, data, disk)
    number = 1
    while disk.exists(name := path.with_name(f"{path.name}.damaged-{number}")):
        number += 1
    disk.rename(copy, name)
    sync_directory(path.parent, disk)


def _unusable(path: Path, error: OSError) -> JournalError:
    return JournalError(f"the journal {path} cannot be opened", cause=str(error.strerror))


def _lock_file(path: Path) -> Path:
    return path.with_name("lock" if path.name == "journal" else f"{path.name}.lock")


def _release(fd: int, lock: int, disk: Disk) -> None:
    if fd >= 0:
        disk.close(fd)
    release_lock(lock, disk)

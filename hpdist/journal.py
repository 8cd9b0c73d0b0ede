"""The journal: the one durable truth of a run, and the only module that writes it.

A record is durable once `Journal.commit` has returned. One process writes (a lock and a check of
the size before each write see to it), any number may read. Together with the rule "commit, then
act" this means: a job is launched at least once and counted exactly once.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from hpdist.durable_files import release_lock, sync_directory, take_lock, temporary_copy
from hpdist.errors import JournalError, JournalFull
from hpdist.events import AttemptEnded, Record
from hpdist.journal_format import FORMAT, Damage, Entry, Scan, encode, scan
from hpdist.journal_reader import JournalReader, read_journal, refuse, refuse_newer

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

    def __init__(self, path: Path, fd: int, lock: int, found: Scan, sync_every: int) -> None:
        self.path = path
        self.records: list[Entry] = found.records
        self.cut_bytes = found.total_bytes - found.good_bytes
        self._fd, self._lock, self._sync_every = fd, lock, sync_every
        self._crc = found.crc
        self._size = os.fstat(fd).st_size
        self._buffer: list[tuple[bytes, int]] = []  #: lines and their CRCs
        self._results = 0
        self._unsynced = False
        self._broken = ""
        self._closed = False

    @classmethod
    def open(cls, path: str | Path, *, create: bool = True, sync_every: int = 1) -> Journal:
        """Lock the journal, read it, and cut off a torn tail.

        Parameters
        ----------
        path
            The file. The lock is a file beside it: ``lock`` for a journal named ``journal``.
        create
            Whether to begin a new one if there is none.
        sync_every
            1 makes every commit durable. With n > 1 the disk is waited for only once n jobs have
            been settled: up to n results are lost if the machine dies, none if only the process
            does.

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
        lock = take_lock(_lock_file(path))
        fd = -1
        try:
            fd = _open(path, create)
            found = _read(fd)
            refuse(path, found)
            _tidy(fd, found)
            return cls(path, fd, lock, found, sync_every)
        except BaseException as error:
            _release(fd, lock)
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
        self._buffer.append(encode(record, at, crc))
        self._results += isinstance(record, AttemptEnded) and record.final

    def commit(self) -> None:
        """Write what was added, all at once, and wait until it is durable.

        Raises
        ------
        JournalFull
            If the disk is full. Nothing of it stays in the file, nothing is lost: the next
            commit tries again.
        JournalError
            If another process wrote to the file, or the disk reported an error. What is durable
            is then unknown, so every later commit fails as well: open the journal anew.
        """
        if self._broken or self._closed:
            raise JournalError(f"nothing can be written to {self.path}: {self._broken or 'closed'}")
        if self._buffer:
            self._check_alone()
            self._write_buffer()
        if self._results >= self._sync_every or self._sync_every == 1:
            self._make_durable()

    def close(self) -> None:
        """Commit what is left and release the lock; a second call does nothing."""
        if self._closed:
            return
        try:
            if not self._broken:
                self.commit()
                self._make_durable()
        finally:
            self._closed = True
            _release(self._fd, self._lock)

    def _check_alone(self) -> None:
        status = os.fstat(self._fd)
        if status.st_size == self._size and status.st_nlink:
            return
        self._broken = "it was changed by another writer" if status.st_nlink else "it was deleted"
        raise JournalError(
            f"the journal {self.path} cannot be continued: {self._broken}",
            cause=f"it should have {self._size} bytes and has {status.st_size}; something other "
            "than this process touched it",
            do="find out what did; then run the same command again to resume",
        )

    def _write_buffer(self) -> None:
        data, crc = b"".join(line for line, _ in self._buffer), self._buffer[-1][1]
        done = 0
        try:
            while done < len(data):
                done += self._write(data[done:])
        except OSError as error:
            self._take_back()
            if error.errno in _FULL:
                raise self._full(error, len(data)) from error
            raise self._failed(error) from error
        except BaseException:
            self._take_back()
            raise
        self._unsynced = True
        self._size, self._crc, self._buffer = self._size + done, crc, []

    def _take_back(self) -> None:
        try:
            os.ftruncate(self._fd, self._size)
        except OSError as error:
            raise self._failed(error) from error

    def _make_durable(self) -> None:
        if not self._unsynced:
            return
        try:
            self._sync()
        except OSError as error:
            # After a failed sync the kernel may drop the pages and call the next one a success.
            raise self._failed(error) from error
        self._unsynced, self._results = False, 0

    def _write(self, data: bytes) -> int:
        return os.write(self._fd, data)

    def _sync(self) -> None:
        os.fdatasync(self._fd)

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


def repair(path: str | Path) -> int:
    """Cut a damaged journal down to the whole records at its beginning.

    A copy is kept beside it, named ``<path>.damaged-<n>``.

    Returns
    -------
    cut
        Number of bytes cut off; 0 if the journal was whole.
    """
    path = Path(path)
    lock = take_lock(_lock_file(path))
    fd = -1
    try:
        fd = _open(path, create=False)
        found = _read(fd)
        refuse_newer(path, found)
        if found.good_bytes < found.total_bytes:
            _keep_copy(path)
        _tidy(fd, found)
    except OSError as error:
        raise _unusable(path, error) from error
    finally:
        _release(fd, lock)
    return found.total_bytes - found.good_bytes


def _open(path: Path, create: bool) -> int:
    new = not path.exists()
    flags = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | (os.O_CREAT if create else 0)
    fd = os.open(path, flags, 0o600)
    if new:
        sync_directory(path.parent)
    return fd


def _read(fd: int) -> Scan:
    with open(fd, "rb", closefd=False) as file:
        return scan(file.read())


def _tidy(fd: int, found: Scan) -> None:
    """Cut the file to its good records, end the last one with a newline, make it all durable."""
    if found.good_bytes < found.total_bytes:
        os.ftruncate(fd, found.good_bytes)
    if not found.closed:
        os.write(fd, b"\n")
    # What was read is acted on, and its writer may have died before it was durable.
    os.fsync(fd)


def _keep_copy(path: Path) -> None:
    copy = temporary_copy(path, path.read_bytes())
    number = 1
    while (name := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    copy.rename(name)
    sync_directory(path.parent)


def _unusable(path: Path, error: OSError) -> JournalError:
    return JournalError(f"the journal {path} cannot be opened", cause=str(error.strerror))


def _lock_file(path: Path) -> Path:
    return path.with_name("lock" if path.name == "journal" else f"{path.name}.lock")


def _release(fd: int, lock: int) -> None:
    if fd >= 0:
        os.close(fd)
    release_lock(lock)

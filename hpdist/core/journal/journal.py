"""The journal, an append-only log: the only durable state of a run. Only this module appends to it.

A record is durable once `Journal.commit` has returned. One process writes (ensured by a lock and
a check of the size before and after each write), any number may read. With the rule "commit, then
act", a job is launched at least once and counted exactly once.
"""

from __future__ import annotations

import errno
from pathlib import Path

from hpdist.core.journal.disk import REAL, Disk
from hpdist.core.journal.durable_files import take_lock
from hpdist.core.journal.format import Entry, Scan, encode, scan
from hpdist.core.journal.journal_file import (
    lock_file,
    open_error,
    open_file,
    read_durable,
    release,
    truncate_tail,
)
from hpdist.core.journal.reader import check_intact
from hpdist.core.model.errors import JournalError, JournalFull
from hpdist.core.model.events import AttemptEnded, AttemptStarted, Record

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Journal:
    """A journal file, locked for as long as it is open. Made by `open`.

    Attributes
    ----------
    path
        The file.
    records
        The records that were in the file when it was opened.
    cut_bytes
        Length of the torn tail that was cut off on opening.
    """

    def __init__(
        self, path: Path, fd: int, lock: int, found: Scan, sync_every: int, disk: Disk
    ) -> None:
        self.path = path
        self.records: list[Entry] = found.records
        self.cut_bytes = found.total_bytes - found.good_bytes
        self._fd = fd
        self._lock = lock
        self._sync_every = sync_every
        self._disk = disk
        self._crc = found.crc
        # Not the current size: a write by another process since the scan would go unnoticed.
        self._size = found.good_bytes + (not found.closed)
        self._buffer: list[tuple[bytes, int]] = []  #: lines and their CRCs
        self._written = 0  #: how many bytes of the buffer are in the file already
        self._results = 0  #: final results that are not durable yet
        self._unsynced = False  #: whether the file has bytes that are not durable yet
        self._started = False  #: whether the start of an attempt is among them
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
            Whether to create the file if there is none.
        sync_every
            1 makes every commit durable. With n > 1 a commit waits for the disk only after n final
            results, or if an attempt is started: fewer than n results are lost, and evaluated
            again, if the machine crashes, none if only the process does.

        Raises
        ------
        JournalLocked
            If another process has it open.
        JournalDamaged
            If a record is invalid and valid ones follow it.
        JournalVersion
            If its format is newer than `FORMAT`.
        JournalError
            If the file cannot be opened.
        """
        if sync_every < 1:
            raise JournalError(f"sync_every must be >= 1, got {sync_every!r}")
        path = Path(path)
        lock = take_lock(lock_file(path), disk)
        fd = -1
        try:
            fd = open_file(path, create, disk)
            found = scan(read_durable(fd, disk))
            check_intact(path, found)
            truncate_tail(path, fd, found, disk)
            disk.unlock(fd)
            return cls(path, fd, lock, found, sync_every, disk)
        except BaseException as error:
            release(fd, lock, disk)
            if isinstance(error, OSError):
                raise open_error(path, error) from error
            raise

    def append(self, record: Record, at: float) -> None:
        """Add a record to the buffer that the next `commit` writes.

        ``at`` is the wall time in seconds since 1970.

        Raises
        ------
        JournalError
            If the record is not plain JSON; nothing is added then.
        """
        crc = self._buffer[-1][1] if self._buffer else self._crc
        # Line and CRC are appended at once: an interrupt in between would break the CRC chain.
        joined = bool(self._buffer) or self._unsynced
        self._buffer.append(encode(record, at, crc, joined))
        self._results += isinstance(record, AttemptEnded) and record.final
        # Attempt numbers distinguish old results from new ones, so none may be used twice.
        self._started = self._started or isinstance(record, AttemptStarted)

    def commit(self) -> None:
        """Write the buffered records in one go, and wait until they are durable.

        Raises
        ------
        JournalFull
            If the disk is full. Nothing is lost: the next commit continues where this one stopped.
        JournalError
            If another process wrote to the file, or the disk reported an error. It is then unknown
            which records are durable, so every later commit fails as well: reopen the journal.
        """
        if self._broken or self._closed:
            raise JournalError(f"nothing can be written to {self.path}: {self._broken or 'closed'}")
        self._check_sole_writer()
        if not (self._buffer or self._unsynced):
            return
        self._write_buffer()
        if self._started or self._results >= self._sync_every or self._sync_every == 1:
            self._make_durable()
        # If another process wrote between the first check and the write, these records follow
        # foreign ones, and must not be acted on.
        self._check_sole_writer()

    def close(self) -> None:
        """Commit the buffered records and release the lock; a second call does nothing."""
        if self._closed:
            return
        try:
            if not self._broken and (self._buffer or self._unsynced):
                self.commit()
                self._make_durable()
        finally:
            self._closed = True
            release(self._fd, self._lock, self._disk)

    def _check_sole_writer(self) -> None:
        """Raise if the size of the file differs from that after our last write."""
        size, names = self._disk.status(self._fd)
        expected = self._size + self._written
        if size == expected and names:
            return
        self._broken = "it was changed by another writer" if names else "it was deleted"
        raise JournalError(
            f"the journal {self.path} cannot be continued: {self._broken}",
            cause=f"it should have {expected} bytes and has {size}; another process changed it",
            do="find that process; then run the same command again to resume",
        )

    def _write_buffer(self) -> None:
        """Write the buffer, from where the last attempt stopped.

        Bytes that were written before the disk was full stay: truncating the file could remove
        records of another process, which has taken over meanwhile.
        """
        if not self._buffer:
            return
        data, crc = b"".join([line for line, _ in self._buffer]), self._buffer[-1][1]
        try:
            while self._written < len(data):
                self._written += self._disk.write(self._fd, data[self._written :])
        except OSError as error:
            if error.errno in _FULL:
                raise self._full(error, len(data) - self._written) from error
            raise self._failed(error) from error
        except BaseException:
            # The interrupt may have come between a write and the addition of its size.
            self._written = self._disk.status(self._fd)[0] - self._size
            raise
        self._unsynced = True
        self._size += len(data)
        self._crc = crc
        self._written = 0
        self._buffer = []

    def _make_durable(self) -> None:
        if not self._unsynced:
            return
        try:
            self._disk.sync_data(self._fd)
        except OSError as error:
            # After a failed sync the kernel may drop the pages and report success for the next one.
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

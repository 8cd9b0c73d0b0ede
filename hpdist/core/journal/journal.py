"""The journal: the one durable truth of a run, and the only module that writes it.

A record is durable once `Journal.commit` has returned. One process writes (a lock and a check of
the size before each write see to it), any number may read. Together with the rule "commit, then
act" this means: a job is launched at least once and counted exactly once.
"""

from __future__ import annotations

import errno
from pathlib import Path

from hpdist.core.journal.disk import REAL, Disk
from hpdist.core.journal.durable_files import take_lock
from hpdist.core.journal.format import Entry, Scan, encode, scan
from hpdist.core.journal.journal_file import (
    cannot_be_opened,
    lock_file,
    open_file,
    read_durable,
    release,
    tidy,
)
from hpdist.core.journal.reader import refuse
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
        lock = take_lock(lock_file(path), disk)
        fd = -1
        try:
            fd = open_file(path, create, disk)
            found = scan(read_durable(fd, disk))
            refuse(path, found)
            tidy(path, fd, found, disk)
            disk.unlock(fd)
            return cls(path, fd, lock, found, sync_every, disk)
        except BaseException as error:
            release(fd, lock, disk)
            if isinstance(error, OSError):
                raise cannot_be_opened(path, error) from error
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
            release(self._fd, self._lock, self._disk)

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

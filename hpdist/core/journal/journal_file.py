"""The file of a journal: opens and locks it, reads its durable bytes, cuts a torn tail."""

from __future__ import annotations

import os
from pathlib import Path

from hpdist.core.journal.disk import Disk
from hpdist.core.journal.durable_files import release_lock, sync_directory, write_all
from hpdist.core.journal.format import Scan
from hpdist.core.model.errors import JournalError, JournalLocked


def open_file(path: Path, create: bool, disk: Disk) -> int:
    """Open the file and lock it until it is truncated; return its descriptor."""
    fd = disk.open(path, os.O_RDWR | os.O_APPEND | (os.O_CREAT if create else 0))
    try:
        # The lock file may have been removed by force: without this second lock, a process that
        # was suspended before `truncate_tail` would later cut off records of others.
        disk.lock(fd)
        # Always: the process that created the file may have died before this.
        sync_directory(path.parent, disk)
    except BaseException as error:
        disk.close(fd)
        if isinstance(error, BlockingIOError):
            raise JournalLocked(
                f"the journal {path} is being opened by another process",
                do="wait until it is open, or stop that process",
            ) from error
        raise
    return fd


def read_durable(fd: int, disk: Disk) -> bytes:
    """Make the file durable and return its contents as they are on the disk.

    The records are acted on, so they have to be durable: the writer may have died before a sync,
    or because of a failed one, and then the page cache has bytes that the disk does not have.
    """
    disk.sync(fd)
    disk.forget(fd)
    return disk.read(fd)


def truncate_tail(path: Path, fd: int, found: Scan, disk: Disk) -> None:
    """Truncate the file to its valid records, complete the last newline, and sync it."""
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


def open_error(path: Path, error: OSError) -> JournalError:
    """Return the error for a journal that cannot be opened."""
    return JournalError(f"the journal {path} cannot be opened", cause=str(error.strerror))


def lock_file(path: Path) -> Path:
    """Return the path of the lock of a journal."""
    return path.with_name("lock" if path.name == "journal" else f"{path.name}.lock")


def release(fd: int, lock: int, disk: Disk) -> None:
    """Close the file, if it is open, and release the lock."""
    if fd >= 0:
        disk.close(fd)
    release_lock(lock, disk)

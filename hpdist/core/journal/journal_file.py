"""The file of a journal: opening it under its locks, reading what is durable, cutting its tail."""

from __future__ import annotations

import os
from pathlib import Path

from hpdist.core.journal.disk import Disk
from hpdist.core.journal.durable_files import release_lock, sync_directory, write_all
from hpdist.core.journal.format import Scan
from hpdist.core.model.errors import JournalError, JournalLocked


def open_file(path: Path, create: bool, disk: Disk) -> int:
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


def read_durable(fd: int, disk: Disk) -> bytes:
    """Return what the disk holds: what is read is acted on.

    Its writer may have died before it was durable, or because it could not be made durable; then
    memory shows what the disk has not got.
    """
    disk.sync(fd)
    disk.forget(fd)
    return disk.read(fd)


def tidy(path: Path, fd: int, found: Scan, disk: Disk) -> None:
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


def cannot_be_opened(path: Path, error: OSError) -> JournalError:
    return JournalError(f"the journal {path} cannot be opened", cause=str(error.strerror))


def lock_file(path: Path) -> Path:
    return path.with_name("lock" if path.name == "journal" else f"{path.name}.lock")


def release(fd: int, lock: int, disk: Disk) -> None:
    if fd >= 0:
        disk.close(fd)
    release_lock(lock, disk)

"""Files that survive a crash and belong to one user: locks, and writes that are whole or absent."""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
from pathlib import Path

from hpdist.errors import JournalError, JournalLocked


def sync_directory(path: Path) -> None:
    """Make creations, renames and removals in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def temporary_copy(path: Path, data: bytes) -> Path:
    """Write ``data`` durably to a new file beside ``path``, readable by its owner only."""
    fd, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(fd)
    except BaseException:
        os.unlink(name)
        raise
    return Path(name)


def take_lock(path: Path) -> int:
    """Lock a file for as long as this process lives or until `release_lock`.

    The file holds the name of the process that locked it.

    Returns
    -------
    lock
        The open file.

    Raises
    ------
    JournalLocked
        If another open file of this or another process holds the lock.
    JournalError
        If the file cannot be opened or locked.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    lock = -1
    try:
        lock = os.open(path, flags, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
    except BlockingIOError as error:
        holder = os.pread(lock, 300, 0).decode("utf-8", "replace") or "another process"
        os.close(lock)
        raise JournalLocked(
            f"{path} is locked: {holder} writes this run",
            do="stop that process first, or give this run another directory",
        ) from error
    except OSError as error:
        if lock >= 0:
            os.close(lock)
        raise JournalError(f"{path} cannot be locked", cause=str(error.strerror)) from error
    return lock


def release_lock(lock: int) -> None:
    """Give back what `take_lock` returned."""
    # Closing alone would not do: a forked child may hold a copy of the open file.
    fcntl.flock(lock, fcntl.LOCK_UN)
    os.close(lock)

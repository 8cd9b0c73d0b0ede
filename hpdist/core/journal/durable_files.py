"""Files that survive a crash and belong to one user: locks, and atomic writes."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path

from hpdist.core.journal.disk import REAL, Disk
from hpdist.core.model.errors import JournalError, JournalLocked

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW


def sync_directory(path: Path, disk: Disk = REAL) -> None:
    """Make creations, renames and removals in a directory durable."""
    fd = disk.open(path, _DIRECTORY)
    try:
        disk.sync(fd)
    finally:
        disk.close(fd)


def make_directory(path: Path) -> None:
    """Create a directory durably, for its owner only, and its missing parents.

    If it cannot be created, neither are its parents.
    """
    new = [each for each in (path, *path.parents) if not os.path.lexists(each)]
    try:
        for each in reversed(new):
            if each != path:  # not writable for others, independent of the umask
                each.mkdir(mode=0o755, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
    except OSError:
        for each in new:
            with suppress(OSError):
                each.rmdir()
        raise
    for each in new:
        sync_directory(each.parent)


def temporary_copy(path: Path, data: bytes, disk: Disk = REAL) -> Path:
    """Write ``data`` durably to a new file beside ``path``, readable by its owner only."""
    temporary = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    fd = disk.open(temporary, _NEW)
    try:
        write_all(fd, data, disk)
        disk.sync(fd)
    except BaseException:
        disk.unlink(temporary)
        raise
    finally:
        disk.close(fd)
    return temporary


def write_all(fd: int, data: bytes, disk: Disk = REAL) -> None:
    """Write all of ``data``, continuing after partial writes."""
    done = 0
    while done < len(data):
        done += disk.write(fd, data[done:])


def replace_file(path: Path, data: bytes, disk: Disk = REAL) -> None:
    """Replace a file atomically: after a crash it has the old contents or the new ones."""
    temporary = temporary_copy(path, data, disk)
    disk.rename(temporary, path)
    sync_directory(path.parent, disk)


def create_file(path: Path, data: bytes, disk: Disk = REAL) -> bool:
    """Create a file atomically; return False, and leave it as it is, if it exists."""
    temporary = temporary_copy(path, data, disk)
    try:
        disk.link(temporary, path)
        new = True
    except FileExistsError:
        new = False
    finally:
        disk.unlink(temporary)
    # Another process may have created it, and died before this.
    sync_directory(path.parent, disk)
    return new


def take_lock(path: Path, disk: Disk = REAL) -> int:
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
    lock = -1
    try:
        lock = disk.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)
        disk.lock(lock)
        disk.truncate(lock, 0)
        write_all(lock, f"process {os.getpid()} on {socket.gethostname()}".encode(), disk)
    except BlockingIOError as error:
        holder = disk.read(lock)[:300].decode("utf-8", "replace") or "another process"
        disk.close(lock)
        raise JournalLocked(
            f"{path} is locked: {holder} writes this run",
            do="stop that process first, or give this run another directory",
        ) from error
    except OSError as error:
        if lock >= 0:
            disk.close(lock)
        raise JournalError(f"{path} cannot be locked", cause=str(error.strerror)) from error
    return lock


def release_lock(lock: int, disk: Disk = REAL) -> None:
    """Release the lock that `take_lock` returned."""
    # Closing alone is not enough: a forked child may have a copy of the open file.
    disk.unlock(lock)
    disk.close(lock)

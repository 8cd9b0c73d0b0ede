"""The system calls for durable files, in one object that a simulated disk can replace."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class Disk:
    """The real disk. An open file is a number, as the system gives it."""

    def open(self, path: Path, flags: int) -> int:
        """Open a file; a new one is accessible to its owner only."""
        return os.open(path, flags | os.O_CLOEXEC, 0o600)

    def close(self, fd: int) -> None:
        os.close(fd)

    def read(self, fd: int) -> bytes:
        """Return the contents of the file."""
        with open(fd, "rb", closefd=False) as file:
            file.seek(0)
            return file.read()

    def write(self, fd: int, data: bytes) -> int:
        """Write as much as there is room for, and return the number of bytes written."""
        return os.write(fd, data)

    def truncate(self, fd: int, size: int) -> None:
        os.ftruncate(fd, size)

    def sync(self, fd: int) -> None:
        """Wait until a file, or the entries of a directory, are durable."""
        os.fsync(fd)

    def sync_data(self, fd: int) -> None:
        """Wait until the contents of a file and its size are durable."""
        os.fdatasync(fd)

    def forget(self, fd: int) -> None:
        """Drop the page cache of a file, so that the next read comes from the disk."""
        if hasattr(os, "posix_fadvise"):  # on Linux; elsewhere reads come from the cache
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)

    def status(self, fd: int) -> tuple[int, int]:
        """Return the size of a file in bytes, and its number of links."""
        found = os.fstat(fd)
        return found.st_size, found.st_nlink

    def lock(self, fd: int) -> None:
        """Lock a file for this descriptor; raises BlockingIOError if another one holds the lock."""
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def unlock(self, fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_UN)

    def exists(self, path: Path) -> bool:
        return path.exists()

    def link(self, old: Path, new: Path) -> None:
        """Give a file a second name; raises FileExistsError if the name is taken."""
        os.link(old, new)

    def rename(self, old: Path, new: Path) -> None:
        """Rename a file, replacing one of the new name."""
        os.replace(old, new)

    def unlink(self, path: Path) -> None:
        os.unlink(path)


REAL = Disk()

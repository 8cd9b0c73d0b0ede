"""The system calls on which durable files rest, in one object: a simulated disk can stand in."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class Disk:
    """The real disk. An open file is a number, as the system gives it."""

    def open(self, path: Path, flags: int) -> int:
        """Open a file; one that is made is for its owner only."""
        return os.open(path, flags | os.O_CLOEXEC, 0o600)

    def close(self, fd: int) -> None:
        os.close(fd)

    def read(self, fd: int) -> bytes:
        """Return all that is in the file."""
        with open(fd, "rb", closefd=False) as file:
            file.seek(0)
            return file.read()

    def write(self, fd: int, data: bytes) -> int:
        """Write as much as there is room for, and return how much that was."""
        return os.write(fd, data)

    def truncate(self, fd: int, size: int) -> None:
        os.ftruncate(fd, size)

    def sync(self, fd: int) -> None:
        """Wait until a file, or the names in a directory, are durable."""
        os.fsync(fd)

    def sync_data(self, fd: int) -> None:
        """Wait until the contents of a file and its size are durable."""
        os.fdatasync(fd)

    def forget(self, fd: int) -> None:
        """Let the next read ask the disk, not what memory holds of it."""
        if hasattr(os, "posix_fadvise"):  # Linux; elsewhere memory is believed
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)

    def status(self, fd: int) -> tuple[int, int]:
        """Return the size of a file in bytes, and how many names it has."""
        found = os.fstat(fd)
        return found.st_size, found.st_nlink

    def lock(self, fd: int) -> None:
        """Lock a file for this open file alone; BlockingIOError says that another one has it."""
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def unlock(self, fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_UN)

    def exists(self, path: Path) -> bool:
        return path.exists()

    def link(self, old: Path, new: Path) -> None:
        """Give a file a second name; FileExistsError says that the name is taken."""
        os.link(old, new)

    def rename(self, old: Path, new: Path) -> None:
        """Move a name, taking the place of whatever has the new one."""
        os.replace(old, new)

    def unlink(self, path: Path) -> None:
        os.unlink(path)


REAL = Disk()

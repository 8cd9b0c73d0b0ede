"""Files that no other user may read or write."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from hpdist.core.model.errors import ConfigurationError

_LARGEST_BYTES = 1 << 20


def read_private(path: Path, most_bytes: int = _LARGEST_BYTES) -> str | None:
    """Return the text of a file that no other user can read or write; None if it is missing.

    Raises
    ------
    ConfigurationError
        If it is another user's, may be opened by others, or is no regular file; with the remedy.
    """
    try:
        # Neither a link to someone else's file nor a pipe that never answers.
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read", cause=str(error.strerror)) from error
    try:
        _check_private(path, os.fstat(fd))
        return os.read(fd, most_bytes).decode("utf-8", "replace")
    finally:
        os.close(fd)


def _check_private(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ConfigurationError(f"{path} is no regular file")
    if status.st_uid != os.geteuid():
        raise ConfigurationError(
            f"{path} belongs to user {status.st_uid}, not to user {os.geteuid()}",
            cause="whoever owns it could speak for this run",
            do=f"chown {os.geteuid()} {path}",
        )
    if status.st_mode & 0o077:
        raise ConfigurationError(
            f"other users may open {path} (mode {stat.S_IMODE(status.st_mode):o})",
            do=f"chmod 600 {path}",
        )

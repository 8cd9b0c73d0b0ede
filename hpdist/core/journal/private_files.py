"""Files that no other user may read or write."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from hpdist.core.model.errors import ConfigurationError

_MAX_BYTES = 1 << 20


def read_private(path: Path, max_bytes: int = _MAX_BYTES) -> str | None:
    """Return the text of a file that no other user can read or write; None if it is missing.

    Raises
    ------
    ConfigurationError
        If it belongs to another user, may be opened by others, or is no regular file.
    """
    try:
        # Neither a link to another user's file nor a pipe that blocks.
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read", cause=str(error.strerror)) from error
    try:
        _check_private(path, os.fstat(fd))
        return os.read(fd, max_bytes).decode("utf-8", "replace")
    finally:
        os.close(fd)


def _check_private(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ConfigurationError(f"{path} is no regular file")
    if status.st_uid != os.geteuid():
        raise ConfigurationError(
            f"{path} belongs to user {status.st_uid}, not to user {os.geteuid()}",
            cause="its owner could impersonate this run",
            do=f"chown {os.geteuid()} {path}",
        )
    if status.st_mode & 0o077:
        raise ConfigurationError(
            f"other users may open {path} (mode {stat.S_IMODE(status.st_mode):o})",
            do=f"chmod 600 {path}",
        )

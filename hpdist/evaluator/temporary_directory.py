"""Temporary directories that are removed with the object that owns them."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path


def temporary_directory(
    owner: object, parent: str | None = None
) -> tuple[Path, Callable[[], object]]:
    """Make a directory for this user only; return it with the function that removes it.

    It is removed at the latest with ``owner``, but not by a process that was forked from this one.
    """
    path = Path(tempfile.mkdtemp(prefix="hpdist-", dir=parent))
    return path, weakref.finalize(owner, _remove, path, os.getpid())


def _remove(path: Path, pid: int) -> None:
    if os.getpid() == pid:
        shutil.rmtree(path, ignore_errors=True)

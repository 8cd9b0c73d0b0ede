"""Temporary directories that go with the object that has them."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path


def temporary_place(owner: object, parent: str | None = None) -> tuple[Path, Callable[[], object]]:
    """Make a directory for this user only; return it, and what removes it before ``owner`` ends.

    A process that was forked from this one leaves it alone.
    """
    place = Path(tempfile.mkdtemp(prefix="hpdist-", dir=parent))
    return place, weakref.finalize(owner, _remove, place, os.getpid())


def _remove(place: Path, pid: int) -> None:
    if os.getpid() == pid:
        shutil.rmtree(place, ignore_errors=True)

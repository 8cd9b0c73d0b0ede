"""Repairs a damaged journal: keeps the valid records at its start."""

from __future__ import annotations

from pathlib import Path

from hpdist.core.journal.disk import REAL, Disk
from hpdist.core.journal.durable_files import sync_directory, take_lock, temporary_copy
from hpdist.core.journal.format import scan
from hpdist.core.journal.journal_file import (
    lock_file,
    open_error,
    open_file,
    read_durable,
    release,
    truncate_tail,
)
from hpdist.core.journal.reader import check_repairable


def repair(path: str | Path, disk: Disk = REAL) -> int:
    """Truncate a damaged journal to the valid records at its start.

    A copy is kept beside it, named ``<path>.damaged-<n>``.

    Returns
    -------
    cut
        Number of bytes cut off; 0 if the journal was intact.
    """
    path = Path(path)
    lock = take_lock(lock_file(path), disk)
    fd = -1
    try:
        fd = open_file(path, False, disk)
        data = read_durable(fd, disk)
        found = scan(data)
        check_repairable(path, found)
        if found.good_bytes < found.total_bytes:
            _keep_copy(path, data, disk)
        truncate_tail(path, fd, found, disk)
    except OSError as error:
        raise open_error(path, error) from error
    finally:
        release(fd, lock, disk)
    return found.total_bytes - found.good_bytes


def _keep_copy(path: Path, data: bytes, disk: Disk) -> None:
    copy = temporary_copy(path, data, disk)
    number = 1
    while disk.exists(name := path.with_name(f"{path.name}.damaged-{number}")):
        number += 1
    disk.rename(copy, name)
    sync_directory(path.parent, disk)

"""Repairing a damaged journal: the whole records at its beginning are kept."""

from __future__ import annotations

from pathlib import Path

from hpdist.core.journal.disk import REAL, Disk
from hpdist.core.journal.durable_files import sync_directory, take_lock, temporary_copy
from hpdist.core.journal.format import scan
from hpdist.core.journal.journal_file import (
    cannot_be_opened,
    lock_file,
    open_file,
    read_durable,
    release,
    tidy,
)
from hpdist.core.journal.reader import refuse_foreign


def repair(path: str | Path, disk: Disk = REAL) -> int:
    """Cut a damaged journal down to the whole records at its beginning.

    A copy is kept beside it, named ``<path>.damaged-<n>``.

    Returns
    -------
    cut
        Number of bytes cut off; 0 if the journal was whole.
    """
    path = Path(path)
    lock = take_lock(lock_file(path), disk)
    fd = -1
    try:
        fd = open_file(path, False, disk)
        data = read_durable(fd, disk)
        found = scan(data)
        refuse_foreign(path, found)
        if found.good_bytes < found.total_bytes:
            _keep_copy(path, data, disk)
        tidy(path, fd, found, disk)
    except OSError as error:
        raise cannot_be_opened(path, error) from error
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

"""A master on a machine where something is odd: ``odd_master.py OPTIONS``, as ``master.py``.

Besides, OPTIONS may have ``netns``, a network namespace to live in, and ``host``, the address to
listen at. The file ``clock-master`` holds seconds that its wall clock is off. While there is a file
``no-room``, no durable file can grow. A file ``bad-sync`` makes the next sync of one fail.
"""

from __future__ import annotations

import errno
import functools
import json
import logging
import os
import resource
import sys
from pathlib import Path
from typing import Any

import master
from oddities import enter, shift_clock

from hpdist import NameServer
from hpdist.core.journal.disk import Disk

NO_ROOM, BAD_SYNC = Path("no-room"), Path("bad-sync")
write_as_ever, sync_as_ever = Disk.write, Disk.sync_data
ends: dict[int, int] = {}  #: where files have to end, by their numbers


def write(disk: Disk, fd: int, data: bytes) -> int:
    """Write as ever; where there is no room, a few bytes still fit in, and then none."""
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    if NO_ROOM.exists():
        size = os.fstat(fd).st_size
        if ends.get(fd) != size:
            ends[fd] = size + 7
        resource.setrlimit(resource.RLIMIT_FSIZE, (ends[fd], most))
    try:
        return write_as_ever(disk, fd, data)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))


def sync(disk: Disk, fd: int) -> None:
    if BAD_SYNC.exists():
        BAD_SYNC.unlink()
        raise OSError(errno.EIO, os.strerror(errno.EIO))
    sync_as_ever(disk, fd)


def main(options: dict[str, Any]) -> None:
    enter(options.pop("netns", ""))
    shift_clock(Path("clock-master"))
    master.NameServer = functools.partial(NameServer, host=options.pop("host", None))  # type: ignore[misc,assignment]
    Disk.write, Disk.sync_data = write, sync  # type: ignore[method-assign]
    master.main(options)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    main(json.loads(sys.argv[1]))

"""A master on a machine where something is odd: ``odd_master.py OPTIONS``, as ``master.py``.

Besides, OPTIONS may have ``netns``, a network namespace to live in, and ``host``, the address to
listen at. The file ``clock-master`` holds seconds that its wall clock is off. While there is a file
``no-room``, the journal cannot grow. A file ``bad-sync`` makes the next sync of the disk fail.
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
from hpdist.journal import Journal

NO_ROOM, BAD_SYNC = Path("no-room"), Path("bad-sync")
write_as_ever, sync_as_ever = Journal._write, Journal._sync


def write(journal: Journal, data: bytes) -> int:
    """Write as ever; where there is no room, a few bytes still fit in."""
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    if NO_ROOM.exists():
        room = os.fstat(journal._fd).st_size
        room += 7 if room == journal._size else 0
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, most))
    try:
        return write_as_ever(journal, data)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))


def sync(journal: Journal) -> None:
    if BAD_SYNC.exists():
        BAD_SYNC.unlink()
        raise OSError(errno.EIO, os.strerror(errno.EIO))
    sync_as_ever(journal)


def main(options: dict[str, Any]) -> None:
    enter(options.pop("netns", ""))
    shift_clock(Path("clock-master"))
    master.NameServer = functools.partial(NameServer, host=options.pop("host", None))  # type: ignore[misc,assignment]
    Journal._write, Journal._sync = write, sync  # type: ignore[method-assign]
    master.main(options)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    main(json.loads(sys.argv[1]))

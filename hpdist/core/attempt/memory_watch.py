"""How much memory a process and its descendants use."""

from __future__ import annotations

import time

from hpdist.core.model.states import FailureKind
from hpdist.core.model.values import Failure

_INTERVAL_S = 0.1
_MAX_SHARE = 0.05


class MemoryWatch:
    """Compares a process tree's resident memory with a limit, every 0.1 s or so.

    Memory that processes share is counted once for each.
    """

    def __init__(self, pid: int, limit: int) -> None:
        self._pid = pid
        self._limit = limit
        self.next_check = 0.0  #: on the monotonic clock

    def failure(self) -> Failure | None:
        """Check, if it is time to; return a failure if more than the limit is in use."""
        now = time.monotonic()
        if now < self.next_check:
            return None
        used = resident_bytes(self._pid)
        took = time.monotonic() - now
        self.next_check = now + max(_INTERVAL_S, took / _MAX_SHARE)
        if used <= self._limit:
            return None
        text = f"{used / 2**20:,.0f} MiB in use, {self._limit / 2**20:,.0f} MiB allowed"
        return Failure(FailureKind.MEMORY, text)


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process and all its descendants, 0 if it is gone."""
    import psutil

    total = 0
    try:
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            try:
                total += process.memory_info().rss
            except psutil.NoSuchProcess:
                continue  # it ended while this was counting
    except psutil.NoSuchProcess:
        return 0
    return total

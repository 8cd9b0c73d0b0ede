"""How much memory a process and its descendants use."""

from __future__ import annotations

import math
import time

from hpdist.core.model.values import Failure, FailureKind

_INTERVAL_S = 0.1
_MAX_SHARE = 0.05


class MemoryWatch:
    """Compares a process tree's resident memory with a limit, every 0.1 s or so.

    Memory that processes share is counted once for each.
    """

    def __init__(self, pid: int, limit: int | None) -> None:
        self._pid = pid
        self._limit = limit
        self.next = (
            math.inf if limit is None else 0.0
        )  #: time of the next check, on the monotonic clock

    def failure(self) -> Failure | None:
        """Check, if it is time to; return a failure if more than the limit is in use."""
        now = time.monotonic()
        if self._limit is None or now < self.next:
            return None
        used = resident_bytes(self._pid)
        took = time.monotonic() - now
        self.next = now + max(_INTERVAL_S, took / _MAX_SHARE)
        if used <= self._limit:
            return None
        mib, allowed = used / 2**20, self._limit / 2**20
        return Failure(FailureKind.MEMORY, f"{mib:,.0f} MiB in use, {allowed:,.0f} MiB allowed")


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

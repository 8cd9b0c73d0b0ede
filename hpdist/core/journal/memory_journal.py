"""A journal in memory."""

from __future__ import annotations

from pathlib import Path

from hpdist.core.journal.format import Entry
from hpdist.core.model.events import Record


class MemoryJournal:
    """A journal that is lost when the process ends, for simulated and temporary runs."""

    def __init__(self) -> None:
        self.path: Path | None = None
        self.records: list[Entry] = []
        self.cut_bytes = 0

    def append(self, record: Record, at: float) -> None:
        """Add a record; ``at`` is the wall time in seconds since 1970."""
        self.records.append((at, record))

    def commit(self) -> None:
        """Do nothing: there is no disk to wait for."""

    def close(self) -> None:
        """Do nothing: the records stay readable."""

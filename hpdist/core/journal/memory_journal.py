"""A journal without a file."""

from __future__ import annotations

from pathlib import Path

from hpdist.core.journal.format import Entry
from hpdist.core.model.events import Record


class MemoryJournal:
    """A journal that lives and dies with the process, for simulated and throw-away runs."""

    def __init__(self) -> None:
        self.path: Path | None = None
        self.records: list[Entry] = []
        self.cut_bytes = 0

    def append(self, record: Record, at: float) -> None:
        """Add a record; ``at`` is the wall time in seconds since 1970."""
        self.records.append((at, record))

    def commit(self) -> None:
        """Do nothing: there is nothing to wait for."""

    def close(self) -> None:
        """Do nothing: the records stay readable."""

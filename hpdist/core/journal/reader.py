"""Reads a journal that another process may be writing: without a lock and without changes."""

from __future__ import annotations

import os
from pathlib import Path

from hpdist.core.journal.format import FORMAT, NO_JOURNAL, Entry, Scan, scan
from hpdist.core.model.errors import JournalDamaged, JournalError, JournalVersion, NotAJournal
from hpdist.core.model.events import Record


def read_journal(path: str | Path) -> Scan:
    """Return the records of a journal, without an incomplete tail; damage is in the result.

    Raises
    ------
    JournalVersion
        If its format is newer than `FORMAT`.
    JournalError
        If the file cannot be read.
    """
    path = Path(path)
    try:
        found = scan(path.read_bytes())
    except OSError as error:
        raise JournalError(f"the journal {path} cannot be read", cause=_reason(error)) from error
    check_format(path, found)
    return found


def read_header(path: Path) -> Record | None:
    """Return the first record of a journal; None if there is no file, or no complete record.

    Raises
    ------
    JournalDamaged, JournalVersion
        If it is damaged, not a journal, or of a newer format.
    JournalError
        If the file cannot be read.
    """
    if not os.path.lexists(path):
        return None
    try:
        with path.open("rb") as file:
            found = scan(file.readline())
    except OSError as error:
        raise JournalError(f"the journal {path} cannot be read", cause=_reason(error)) from error
    check_intact(path, found)
    return found.records[0][1] if found.records else None


class JournalReader:
    """Follows a journal as it grows.

    Attributes
    ----------
    path
        The file, which need not exist yet.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._offset = 0
        self._line = 1
        self._crc = 0

    def poll(self) -> list[Entry]:
        """Return the records that were completed since the last call, oldest first.

        Raises
        ------
        JournalDamaged, JournalVersion
            As for `hpdist.core.journal.journal.Journal.open`.
        JournalError
            If the file cannot be read, or was replaced by a shorter one.
        """
        try:
            with self.path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise JournalError(f"{self.path} cannot be read", cause=_reason(error)) from error
        if size < self._offset:
            raise JournalError(
                f"{self.path} was replaced by a shorter file", do="read it from the start"
            )
        found = scan(data[: data.rfind(b"\n") + 1], self._crc, self._line)
        check_intact(self.path, found, self._offset)
        self._offset += found.good_bytes
        self._line += len(found.records)
        self._crc = found.crc
        return found.records


def check_intact(path: Path, found: Scan, offset: int = 0) -> None:
    """Raise if ``found``, read from byte ``offset`` on, is damaged or of a newer format.

    Raises
    ------
    JournalDamaged
        If it is damaged; the message names the offset and the repair command.
    JournalVersion
        If its format is newer than `FORMAT`.
    """
    check_repairable(path, found)
    damage = found.damage
    if damage is None:
        return
    run = path.parent if path.name == "journal" else path
    raise JournalDamaged(
        f"the journal {path} is damaged at byte {offset + damage.offset} (line {damage.line})",
        cause=f"{damage.reason}; the disk, or a program other than hpdist, changed the file",
        do=f"put back a copy, or keep the records before it: hpdist journal repair {run}",
    )


def check_repairable(path: Path, found: Scan) -> None:
    """Raise if the file must not be truncated: it is no journal, or of a newer format."""
    check_format(path, found)
    if found.damage is not None and found.damage.reason == NO_JOURNAL:
        raise NotAJournal(
            f"{path} is no journal of hpdist, and is left as it is",
            cause="it does not start as journals of hpdist do",
            do="name another run directory, or put that file elsewhere",
        )


def check_format(path: Path, found: Scan) -> None:
    """Raise `JournalVersion` if the format is newer than `FORMAT`."""
    if found.newer is not None:
        raise JournalVersion(
            f"the journal {path} has format {found.newer}, supported are those up to {FORMAT}",
            do="pip install --upgrade hpdist",
        )


def _reason(error: OSError) -> str:
    return error.strerror or str(error)

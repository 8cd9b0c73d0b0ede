"""Reading a journal that somebody else may be writing: no lock is taken, nothing is changed."""

from __future__ import annotations

import os
from pathlib import Path

from hpdist.core.journal.format import FORMAT, NO_JOURNAL, Entry, Scan, scan
from hpdist.core.model.errors import JournalDamaged, JournalError, JournalVersion, NotAJournal
from hpdist.core.model.events import Record


def read_journal(path: str | Path) -> Scan:
    """Read a journal; a tail that is being written is left out, damage is told in the answer.

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
        raise JournalError(f"the journal {path} cannot be read", cause=_why(error)) from error
    refuse_newer(path, found)
    return found


def read_header(path: Path) -> Record | None:
    """Return the first record of a journal; None if there is no file, or nothing whole in it.

    Raises
    ------
    JournalDamaged, JournalVersion
        If it is damaged, no journal, or of a newer format.
    JournalError
        If the file cannot be read.
    """
    if not os.path.lexists(path):
        return None
    try:
        with path.open("rb") as file:
            found = scan(file.readline())
    except OSError as error:
        raise JournalError(f"the journal {path} cannot be read", cause=_why(error)) from error
    refuse(path, found)
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
        self._offset, self._line, self._crc = 0, 1, 0

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
            raise JournalError(f"{self.path} cannot be read", cause=_why(error)) from error
        if size < self._offset:
            raise JournalError(f"{self.path} was replaced by a shorter file", do="read it anew")
        found = scan(data[: data.rfind(b"\n") + 1], self._crc, self._line)
        refuse(self.path, found, self._offset)
        self._offset += found.good_bytes
        self._line += len(found.records)
        self._crc = found.crc
        return found.records


def refuse(path: Path, found: Scan, offset: int = 0) -> None:
    """Raise if ``found``, read from byte ``offset`` on, cannot be relied on.

    Raises
    ------
    JournalDamaged
        If it is damaged; the message names the place and the command that cuts it off.
    JournalVersion
        If its format is newer than `FORMAT`.
    """
    refuse_foreign(path, found)
    damage = found.damage
    if damage is None:
        return
    run = path.parent if path.name == "journal" else path
    raise JournalDamaged(
        f"the journal {path} is damaged at byte {offset + damage.offset} (line {damage.line})",
        cause=f"{damage.reason}; the disk, or a program other than hpdist, changed the file",
        do=f"put back a copy, or keep the records before it: hpdist journal repair {run}",
    )


def refuse_foreign(path: Path, found: Scan) -> None:
    """Raise if nothing may be cut off: `NotAJournal` if it is no journal, or as below."""
    refuse_newer(path, found)
    if found.damage is not None and found.damage.reason == NO_JOURNAL:
        raise NotAJournal(
            f"{path} is no journal of hpdist, and is left as it is",
            cause="its first bytes are not those of any journal of hpdist",
            do="name another run directory, or put that file elsewhere",
        )


def refuse_newer(path: Path, found: Scan) -> None:
    """Raise `JournalVersion` if the format is not known here."""
    if found.newer is not None:
        raise JournalVersion(
            f"the journal {path} has format {found.newer}, known here are those up to {FORMAT}",
            do="pip install --upgrade hpdist",
        )


def _why(error: OSError) -> str:
    return error.strerror or str(error)

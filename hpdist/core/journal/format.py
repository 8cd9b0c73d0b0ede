"""What a journal looks like, byte by byte: records to lines and back. Pure.

Each line is ``length crc json\\n``: the number of bytes of the JSON text and its CRC32, eight
hexadecimal digits each, then the JSON text, which is ASCII and holds no newline. A CRC continues
that of the line before, so that a line which is lost, doubled or moved is noticed as well.

A record that bears the mark ``joined`` was written when those before it were not yet known to be
durable: a crash may take them and leave this one. A record without it vouches for all before it.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from hpdist.core.model.errors import JournalError
from hpdist.core.model.events import Record
from hpdist.core.model.record_codec import record_from_json, record_to_json
from hpdist.core.model.values import JsonValue

FORMAT = 1
"""The format written here, kept in `RunCreated.format`; newer ones are refused."""

Entry = tuple[float, Record]
"""(wall seconds since 1970 at which it was recorded, record)."""

NO_JOURNAL = "this is no journal"

_HEADER = re.compile(rb"([0-9a-f]{8}) ([0-9a-f]{8}) \{")
_TEXT = re.compile(rb"[\0\n -~]*")
NO_JOURNAL = "this is no journal"
_BLANK_HEADER = b"00000000 00000000 {"
_JOINED = "joined"


@dataclass(frozen=True)
class Damage:
    """A record that cannot be read though it was once written: where, and what is wrong.

    ``offset`` counts bytes from 0, ``line`` lines from 1.
    """

    offset: int
    line: int
    reason: str


@dataclass(frozen=True)
class Scan:
    """What the bytes of a journal hold.

    ``good_bytes`` is the length of the whole records at the beginning. What follows them is a
    torn tail unless ``damage`` says otherwise. ``crc`` is that of the last good record;
    ``closed`` says whether a newline ends it. ``newer`` is the number of a format that is not
    known here; nothing is read then.
    """

    records: list[Entry]
    good_bytes: int
    total_bytes: int
    damage: Damage | None = None
    crc: int = 0
    closed: bool = True
    newer: int | None = None


class _Unreadable(Exception):
    """Why reading stops here; a torn tail has no ``reason``."""

    def __init__(self, reason: str = "", newer: int | None = None) -> None:
        super().__init__(reason)
        self.reason, self.newer = reason, newer


def scan(data: bytes, crc: int = 0, line: int = 1) -> Scan:
    """Read all whole records at the beginning of ``data``.

    A bad record with no valid one after it is a torn tail; with a valid one after it, it is
    damage, unless all of those are `joined` to it and a part of it never reached the disk. A
    last record whose CRC is right counts even when its newline is missing.

    Parameters
    ----------
    data
        The bytes of a journal, from the beginning of a line.
    crc, line
        CRC of the line before ``data``, and the number of its first line.
    """
    records: list[Entry] = []
    good, closed, damage, newer = 0, True, None, None
    if line == 1 and not _may_be_journal(data):
        return Scan([], 0, len(data), Damage(0, 1, NO_JOURNAL))
    try:
        while good < len(data) and closed:
            begin, end = _frame(data, good, crc)
            records.append(_decode(data[begin:end]))
            closed = data.startswith(b"\n", end)
            crc, good = int(data[begin - 9 : begin - 1], 16), end + closed
    except _Unreadable as stop:
        newer = stop.newer
        if stop.reason:
            damage = Damage(good, line + len(records), stop.reason)
    return Scan(records, good, len(data), damage, crc, closed, newer)


def encode(record: Record, at: float, crc: int, joined: bool = False) -> tuple[bytes, int]:
    """Return the line of ``record`` after a line with CRC ``crc``, and its own CRC.

    ``joined`` says that the lines before it are not durable yet.

    Raises
    ------
    JournalError
        If the record is not plain JSON with finite numbers.
    """
    data = record_to_json(record)
    data["at"] = at
    if joined:
        data[_JOINED] = True
    try:
        payload = _ENCODE(data).encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        raise JournalError(
            f"a record of kind {record.kind!r} cannot be written to the journal", cause=str(error)
        ) from error
    crc = zlib.crc32(payload, crc)
    return b"%08x %08x %b\n" % (len(payload), crc, payload), crc


def _not_finite(token: str) -> JsonValue:
    raise ValueError(f"{token} is no JSON number")


_ENCODE = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode
_DECODE = json.JSONDecoder(parse_constant=_not_finite).decode


def _decode(payload: bytes) -> Entry:
    try:
        data = _DECODE(payload.decode("ascii"))
        data.pop(_JOINED, None)
        if data["kind"] == "run" and data["format"] > FORMAT:
            raise _Unreadable(newer=int(data["format"]))
        return float(data["at"]), record_from_json(data)
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise _Unreadable(f"its checksum is right, but it is no known record: {error!r}") from error


def _frame(data: bytes, start: int, crc: int) -> tuple[int, int]:
    """Return where the JSON text of the record at ``start`` begins and ends, once checked."""
    header = _HEADER.match(data, start)
    if header is None:
        raise _torn_or("no length and checksum stand at its beginning", data, start)
    begin = header.end() - 1
    end = begin + int(header[1], 16)
    if end > len(data) or zlib.crc32(data[begin:end], crc) != int(header[2], 16):
        raise _torn_or("its checksum is wrong", data, start)
    if not data.startswith(b"\n", end) and not _is_torn(data, start):
        raise _Unreadable("no newline ends it")
    return begin, end


def _torn_or(reason: str, data: bytes, start: int) -> _Unreadable:
    return _Unreadable("" if _is_torn(data, start) else reason)


def _is_torn(data: bytes, start: int) -> bool:
    """Whether the bad record at ``start`` was never durable.

    So it is if nothing follows it, or only what was written before it was durable; the part that
    did not reach the disk is then zeros, which no record contains.
    """
    first = len(data)
    for place, joined in _later_records(data, start):
        if not joined:
            return False
        first = min(first, place)
    return first == len(data) or b"\0" in data[start:first]


def _later_records(data: bytes, start: int) -> Iterator[tuple[int, bool]]:
    """Tell where whole records follow the bad one at ``start``, and which are `joined`."""
    for header in _HEADER.finditer(data, start + 1):
        begin = header.end() - 1
        end = begin + int(header[1], 16)
        # No string within a record looks like this: its quotation marks are escaped.
        if end <= len(data) and data[end : end + 1] in (b"\n", b""):
            told = _loads(data[begin:end])
            if "kind" in told:
                yield header.start(), _JOINED in told


def _loads(text: bytes) -> dict[str, JsonValue]:
    """Return the object that a text describes, an empty one if it describes none."""
    try:
        found = _DECODE(text.decode("ascii"))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _may_be_journal(data: bytes) -> bool:
    """Whether the beginning is, or was going to be, a record: else nothing may be cut off."""
    head = data[: len(_BLANK_HEADER)]
    # What did not reach the disk is zeros; what did is text.
    if b"\0" in head and not _TEXT.fullmatch(data):
        return False
    known = bytes(byte or blank for byte, blank in zip(head, _BLANK_HEADER, strict=False))
    return _HEADER.match(known + _BLANK_HEADER[len(head) :]) is not None

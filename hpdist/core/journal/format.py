"""The journal's format: encodes records as lines and decodes them. Pure.

Each line is ``length crc json\\n``: the number of bytes of the JSON text and its CRC32, eight
hexadecimal digits each, then the JSON text, which is ASCII without newlines. The CRCs are chained
(each continues that of the line before), so that a lost, repeated or moved line is detected too.

A record with the field ``joined`` was written when the ones before it were not known to be durable
yet: a crash may lose those and keep this one. A record without it implies that all before it are
durable.
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
"""(wall time in seconds since 1970 at which it was recorded, record)."""

NO_JOURNAL = "this is no journal"

_HEADER = re.compile(rb"([0-9a-f]{8}) ([0-9a-f]{8}) \{")
_TEXT = re.compile(rb"[\0\n -~]*")
_BLANK_HEADER = b"00000000 00000000 {"
_JOINED = "joined"


@dataclass(frozen=True)
class Damage:
    """Position and reason of an invalid record that had been durable.

    ``offset`` counts bytes from 0, ``line`` lines from 1.
    """

    offset: int
    line: int
    reason: str


@dataclass(frozen=True)
class Scan:
    """The records that were decoded from the bytes of a journal, and the state of its tail.

    ``good_bytes`` is the length of the valid records at the start. The bytes after them are a
    torn tail unless there is ``damage``. ``crc`` is that of the last valid record; ``closed``
    is false if its newline is missing. ``newer`` is the number of a format that is not supported;
    no record is decoded then.
    """

    records: list[Entry]
    good_bytes: int
    total_bytes: int
    damage: Damage | None = None
    crc: int = 0
    closed: bool = True
    newer: int | None = None


class _Unreadable(Exception):
    """Reason why decoding stops; empty for a torn tail."""

    def __init__(self, reason: str = "", newer: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.newer = newer


def scan(data: bytes, crc: int = 0, line: int = 1) -> Scan:
    """Return all valid records at the start of ``data``.

    An invalid record without a valid one after it is a torn tail; with a valid one after it, it
    is damage, unless all of those are `joined` and a part of it never reached the disk. A last
    record with a valid CRC counts even if its newline is missing.

    Parameters
    ----------
    data
        The bytes of a journal, from the start of a line.
    crc, line
        CRC of the line before ``data``, and the number of its first line.
    """
    records: list[Entry] = []
    good, closed, damage, newer = 0, True, None, None
    if line == 1 and not _may_be_journal(data):
        return Scan([], 0, len(data), Damage(0, 1, NO_JOURNAL))
    try:
        while good < len(data) and closed:
            start, end = _json_span(data, good, crc)
            records.append(_decode(data[start:end]))
            closed = data.startswith(b"\n", end)
            crc, good = int(data[start - 9 : start - 1], 16), end + closed
    except _Unreadable as stop:
        newer = stop.newer
        if stop.reason:
            damage = Damage(good, line + len(records), stop.reason)
    return Scan(records, good, len(data), damage, crc, closed, newer)


def encode(record: Record, at: float, crc: int, joined: bool = False) -> tuple[bytes, int]:
    """Return the line of ``record``, after a line with CRC ``crc``, and its CRC.

    ``joined`` is true if the lines before it are not durable yet.

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


def _json_span(data: bytes, start: int, crc: int) -> tuple[int, int]:
    """Return start and end of the JSON text of the record at ``start``, after checking it."""
    header = _HEADER.match(data, start)
    if header is None:
        raise _invalid("it does not start with a length and a checksum", data, start)
    text_start = header.end() - 1
    end = text_start + int(header[1], 16)
    if end > len(data) or zlib.crc32(data[text_start:end], crc) != int(header[2], 16):
        raise _invalid("its checksum is wrong", data, start)
    if not data.startswith(b"\n", end) and not _is_torn(data, start):
        raise _Unreadable("no newline ends it")
    return text_start, end


def _invalid(reason: str, data: bytes, start: int) -> _Unreadable:
    """Return the exception for an invalid record: without a reason if it is torn."""
    return _Unreadable("" if _is_torn(data, start) else reason)


def _is_torn(data: bytes, start: int) -> bool:
    """Return whether the invalid record at ``start`` was never durable.

    That is so if only `joined` records follow it, or none; the part that did not reach the disk
    is then zeros, which no record contains.
    """
    first = len(data)
    for offset, joined in _later_records(data, start):
        if not joined:
            return False
        first = min(first, offset)
    return first == len(data) or b"\0" in data[start:first]


def _later_records(data: bytes, start: int) -> Iterator[tuple[int, bool]]:
    """Yield offsets of valid records after the invalid one at ``start``, and whether `joined`."""
    for header in _HEADER.finditer(data, start + 1):
        text_start = header.end() - 1
        end = text_start + int(header[1], 16)
        # No string within a record matches this: its quotation marks are escaped.
        if end <= len(data) and data[end : end + 1] in (b"\n", b""):
            fields = _loads(data[text_start:end])
            if "kind" in fields:
                yield header.start(), _JOINED in fields


def _loads(text: bytes) -> dict[str, JsonValue]:
    """Return the JSON object of a text, an empty one if it is none."""
    try:
        found = _DECODE(text.decode("ascii"))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _may_be_journal(data: bytes) -> bool:
    """Return whether the file starts with a whole or partial record: else it is not to be cut."""
    head = data[: len(_BLANK_HEADER)]
    # Bytes that did not reach the disk are zeros; the others are text.
    if b"\0" in head and not _TEXT.fullmatch(data):
        return False
    known = bytes(byte or blank for byte, blank in zip(head, _BLANK_HEADER, strict=False))
    return _HEADER.match(known + _BLANK_HEADER[len(head) :]) is not None

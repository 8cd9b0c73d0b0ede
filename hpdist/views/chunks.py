"""Texts that are too long for one message: sent to an engine and fetched from it in chunks."""

from __future__ import annotations

import base64
import json
import uuid
from typing import Any

#: Maximum length in characters of a call and of a reply in one message, and of a chunk.
LONGEST_CALL = 1_500_000
LONGEST_REPLY = 1_000_000
CHUNK = 900_000

_CHUNKS: dict[str, list[str]] = {}
"""In an engine: chunks of calls received so far and of values to be fetched, by token."""

_GONE = "the process that had the chunks of the call has ended"


def cut(text: str) -> list[str]:
    """Return the chunks of ``text``."""
    return [text[start : start + CHUNK] for start in range(0, len(text), CHUNK)]


# ------------------------------------------------------------------ in an engine


def keep(token: str, number: int, chunk: str) -> None:
    """Keep a chunk of a call until all its chunks have arrived.

    Raises
    ------
    LookupError
        If the chunks before it are gone.
    """
    chunks = _CHUNKS.setdefault(token, [])
    if len(chunks) != number:
        del _CHUNKS[token]
        raise LookupError(_GONE)
    chunks.append(chunk)


def call_of(token: str) -> list[str]:
    """Return the call whose chunks have all arrived.

    Raises
    ------
    LookupError
        If the chunks are gone.
    """
    chunks = _CHUNKS.pop(token, None)
    if chunks is None:
        raise LookupError(_GONE)
    call: list[str] = json.loads("".join(chunks))
    return call


def reply_with(values: list[str]) -> dict[str, Any]:
    """Return the reply with the values, or with the token of their chunks if they are too long."""
    text = json.dumps(values)
    if len(text) <= LONGEST_REPLY:
        return {"values": values}
    token = uuid.uuid4().hex
    # base64 needs no quoting, so that a chunk has the same length in the message
    _CHUNKS[token] = cut(base64.b64encode(text.encode()).decode())
    return {"token": token, "chunks": len(_CHUNKS[token])}


def fetch(token: str, number: int) -> str:
    """Return a chunk of values; the last one removes them.

    Raises
    ------
    LookupError
        If the chunks are gone.
    """
    chunks = _CHUNKS.get(token)
    if chunks is None:
        raise LookupError("the process that had the value has ended")
    if number == len(chunks) - 1:
        del _CHUNKS[token]
    return chunks[number]

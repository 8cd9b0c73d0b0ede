"""Texts that are too long for one message: sent to an engine and fetched from it in chunks."""

from __future__ import annotations

import base64
import json
import uuid
from typing import Any

#: Characters of a call and of a reply that fit in one message, and of a chunk of a longer one.
LONGEST_CALL = 1_500_000
LONGEST_REPLY = 1_000_000
CHUNK = 900_000

_HELD: dict[str, list[str]] = {}
"""In an engine: chunks that have come, and those that are to be fetched, by their tokens."""

_GONE = "the process that had the chunks of the call has ended"


def cut(text: str) -> list[str]:
    """Return the chunks of ``text``."""
    return [text[start : start + CHUNK] for start in range(0, len(text), CHUNK)]


# ------------------------------------------------------------------ in an engine


def keep(token: str, number: int, chunk: str) -> None:
    """Keep a chunk of a call until the others have come.

    Raises
    ------
    LookupError
        If those before it are gone.
    """
    chunks = _HELD.setdefault(token, [])
    if len(chunks) != number:
        del _HELD[token]
        raise LookupError(_GONE)
    chunks.append(chunk)


def call_of(token: str) -> list[str]:
    """Return the call whose chunks have all come.

    Raises
    ------
    LookupError
        If they are gone.
    """
    chunks = _HELD.pop(token, None)
    if chunks is None:
        raise LookupError(_GONE)
    call: list[str] = json.loads("".join(chunks))
    return call


def reply_with(values: list[str]) -> dict[str, Any]:
    """Return the reply with values: these, or the token of their chunks."""
    text = json.dumps(values)
    if len(text) <= LONGEST_REPLY:
        return {"values": values}
    token = uuid.uuid4().hex
    # an alphabet that needs no quoting, so that each chunk has its length in the message too
    _HELD[token] = cut(base64.b64encode(text.encode()).decode())
    return {"held": token, "chunks": len(_HELD[token])}


def fetch(token: str, number: int) -> str:
    """Return a chunk of held values, and forget them with the last.

    Raises
    ------
    LookupError
        If they are gone.
    """
    chunks = _HELD.get(token)
    if chunks is None:
        raise LookupError("the process that held the value has ended")
    if number == len(chunks) - 1:
        del _HELD[token]
    return chunks[number]

"""What is too long for one message: sent to an engine, and fetched from it, in pieces."""

from __future__ import annotations

import base64
import json
import uuid
from typing import Any

#: Characters of a call and of an answer that go in one message, and of a piece of a longer one.
LONGEST_CALL, LONGEST_ANSWER, PIECE = 1_500_000, 1_000_000, 900_000

_HELD: dict[str, list[str]] = {}
"""In an engine: pieces that have come, and those that are to be fetched, by their tokens."""

_GONE = "the process that had the pieces of the call has ended"


def cut(text: str) -> list[str]:
    """Return the pieces of ``text``."""
    return [text[start : start + PIECE] for start in range(0, len(text), PIECE)]


# ------------------------------------------------------------------ in an engine


def keep(token: str, number: int, piece: str) -> None:
    """Keep a piece of a call until the others have come.

    Raises
    ------
    LookupError
        If those before it are gone.
    """
    pieces = _HELD.setdefault(token, [])
    if len(pieces) != number:
        del _HELD[token]
        raise LookupError(_GONE)
    pieces.append(piece)


def call_of(token: str) -> list[str]:
    """Return the call whose pieces have all come.

    Raises
    ------
    LookupError
        If they are gone.
    """
    pieces = _HELD.pop(token, None)
    if pieces is None:
        raise LookupError(_GONE)
    call: list[str] = json.loads("".join(pieces))
    return call


def answer(values: list[str]) -> dict[str, Any]:
    """Return what is told of values: these, or where they are held."""
    text = json.dumps(values)
    if len(text) <= LONGEST_ANSWER:
        return {"values": values}
    token = uuid.uuid4().hex
    # an alphabet that needs no quoting, so that each piece is as long as it looks
    _HELD[token] = cut(base64.b64encode(text.encode()).decode())
    return {"held": token, "pieces": len(_HELD[token])}


def fetch(token: str, number: int) -> str:
    """Return a piece of held values, and forget them with the last.

    Raises
    ------
    LookupError
        If they are gone.
    """
    pieces = _HELD.get(token)
    if pieces is None:
        raise LookupError("the process that held the value has ended")
    if number == len(pieces) - 1:
        del _HELD[token]
    return pieces[number]

"""The exceptions that hpdist raises, for the person who runs a search.

An evaluation that fails is a value (`hpdist.core.model.values.Failure`), never an exception.
Exceptions are for the caller's and the operator's mistakes, and each message has up to four parts:
what happened (with the concrete value), the cause as far as it is known, what was tried, and what
to do, as a command to paste.
"""

from __future__ import annotations


class HpdistError(Exception):
    """Base of all exceptions that hpdist raises on purpose.

    Parameters
    ----------
    what
        What happened, with the concrete value, address or file.
    cause, tried, do
        Further lines of the message; each is left out when empty.
    """

    def __init__(self, what: str, *, cause: str = "", tried: str = "", do: str = "") -> None:
        self.what, self.cause, self.tried, self.do = what, cause, tried, do
        lines = [what]
        for label, text in (("cause", cause), ("tried", tried), ("do", do)):
            if text:
                lines.append(f"  {label + ':':<6} " + text.replace("\n", "\n         "))
        super().__init__("\n".join(lines))


class ConfigurationError(HpdistError, ValueError):
    """An argument cannot work: a space, a budget, a limit, an objective's signature."""


class MissingExtra(HpdistError, ImportError):
    """A feature needs an optional package; the message names the ``pip install`` line."""


class JournalError(HpdistError):
    """The journal cannot be used."""


class JournalLocked(JournalError):
    """Another live process writes this journal."""


class JournalDamaged(JournalError):
    """A record is damaged and valid records follow it, so it is not cut off automatically."""


class NotAJournal(JournalDamaged):
    """The file was not written by hpdist, or has lost its beginning."""


class JournalMismatch(JournalError):
    """The journal belongs to a search with another space, objective or optimizer."""


class JournalVersion(JournalError):
    """The journal was written in a format this version does not know."""


class JournalFull(JournalError):
    """The disk is full; the unwritten records are kept for another try."""


class TransportError(HpdistError, ConnectionError):
    """A peer could not be reached or did not answer as agreed."""


class NameServerNotFound(TransportError):
    """No nameserver answers at the given address."""


class MasterNotFound(TransportError):
    """The nameserver answers, but has no dispatcher of this run."""


class RunOver(MasterNotFound):
    """The run has finished, and its workers were shut down; ``ended_at`` distinguishes ends."""

    ended_at = ""


class NoWorkers(TransportError):
    """Too few workers joined the run within the time allowed."""


class AuthenticationError(TransportError):
    """The peer has another key."""


class ProtocolMismatch(TransportError):
    """The peer speaks another version of the protocol or serves another run."""


class UnauthenticatedPeer(ProtocolMismatch):
    """The peer has not shown that it is hpdist and has the key."""


PERMANENT_ERRORS = (AuthenticationError, ProtocolMismatch)
"""Errors that a retry does not resolve."""

UNAUTHENTICATED_ERRORS = (AuthenticationError, UnauthenticatedPeer)
"""Errors raised where the peer has not shown that it has the key."""


class StateError(HpdistError, RuntimeError):
    """A bug in hpdist: an event that no state allows. Please report it with the message."""

"""What a command says when something is wrong, and the exit code that goes with it."""

from __future__ import annotations

import logging
import sys
import traceback
from enum import IntEnum

import click

from hpdist.core.model.errors import (
    ConfigurationError,
    HpdistError,
    JournalLocked,
    JournalMismatch,
    JournalVersion,
    MissingExtra,
    NotAJournal,
    TransportError,
)


class Exit(IntEnum):
    """Exit codes; a command that is used wrongly ends with 2 as well."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    RESUMABLE = 4
    INTERRUPTED = 130


#: Journals that this program can do nothing with, though there is nothing wrong with them.
_OTHERS = (NotAJournal, JournalVersion)


def exit_code(error: HpdistError) -> Exit:
    """Return the exit code for an error."""
    if isinstance(error, TransportError):
        return Exit.UNREACHABLE
    usage = (ConfigurationError, MissingExtra, JournalMismatch, JournalLocked, *_OTHERS)
    return Exit.USAGE if isinstance(error, usage) else Exit.FAILED


def tidy(text: str) -> str:
    """Return ``text`` so that a terminal shows it and obeys nothing in it but line ends."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def tell(text: str) -> None:
    """Say something about what goes on: on standard error, as all that is no result."""
    # Not through click, which would write past a live display that sys.stderr leads around.
    sys.stderr.write(f"hpdist: {tidy(text)}\n")
    sys.stderr.flush()


def report(error: Exception, debug: bool) -> Exit:
    """Tell of an error, with its traceback if it was asked for or is hpdist's own fault."""
    known = isinstance(error, HpdistError)
    if debug or not known:
        click.echo(tidy("".join(traceback.format_exception(error))), err=True)
    if isinstance(error, HpdistError):
        tell(f"error: {error}")
        return exit_code(error)
    tell(
        f"error: {type(error).__name__}: {error}\n"
        "  this is a mistake in hpdist or in a file of yours that it called: if it is not the\n"
        "  latter, please report it with the text above"
    )
    return Exit.FAILED


class Teller(logging.Handler):
    """Shows what hpdist logs, wherever standard error leads at the time."""

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + logging.Formatter().formatException(record.exc_info)
        tell(text)


def show_log(level: int) -> None:
    """Show the log of hpdist from ``level`` on; other libraries' is left alone."""
    log = logging.getLogger("hpdist")
    log.handlers = [Teller()]
    log.setLevel(level)
    log.propagate = False

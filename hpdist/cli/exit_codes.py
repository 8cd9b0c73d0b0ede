"""Messages and exit codes of commands."""

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


#: Files that are no journals, or intact journals of a version that this program cannot read.
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


def print_message(text: str) -> None:
    """Print a message on standard error; standard output is for results only."""
    # Not through click, which would write into a live display that has replaced sys.stderr.
    sys.stderr.write(f"hpdist: {tidy(text)}\n")
    sys.stderr.flush()


def report(error: Exception, debug: bool) -> Exit:
    """Print an error, with its traceback if requested or if the error is not one of hpdist's."""
    known = isinstance(error, HpdistError)
    if debug or not known:
        click.echo(tidy("".join(traceback.format_exception(error))), err=True)
    if isinstance(error, HpdistError):
        print_message(f"error: {error}")
        return exit_code(error)
    print_message(
        f"error: {type(error).__name__}: {error}\n"
        "  this is a bug in hpdist or in a file of yours that it called: if it is not in your\n"
        "  file, please report it with the text above"
    )
    return Exit.FAILED


class MessageHandler(logging.Handler):
    """Prints log records of hpdist on the current standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + logging.Formatter().formatException(record.exc_info)
        print_message(text)


def show_log(level: int) -> None:
    """Show the log of hpdist from ``level`` on; other libraries' logs stay as they are."""
    log = logging.getLogger("hpdist")
    log.handlers = [MessageHandler()]
    log.setLevel(level)
    log.propagate = False

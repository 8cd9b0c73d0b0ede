"""Results that no dispatcher has acknowledged yet, in private files that outlive their worker.

A worker that is killed while the master is away takes nothing with it: the next worker that looks
into the same directory hands its results in. That may happen twice or too late, which is harmless:
the dispatcher honours a result once, and only of the latest attempt.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from hpdist.core.journal.connection_file import connection_is_stale
from hpdist.core.journal.private_files import read_private
from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.events import Assignment, AttemptResult
from hpdist.core.model.fields import read_text
from hpdist.core.model.json_codec import MAX_TEXT, decode
from hpdist.core.model.record_codec import outcome_to_json
from hpdist.core.remote.messages import read_results

logger = logging.getLogger(__name__)

Told = dict[str, Any]
"""A result as a message carries it."""

#: JSON text of results in one message, beyond the first.
MAX_TOLD_BYTES = 500_000

#: The longest file that is read: what is in it has to fit into a message with other things.
MAX_SPOOLED = MAX_TEXT - 65_536

#: Seconds after which a result may be handed in by others though its worker may be alive.
ORPHANED_AFTER_S = 60.0

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def tell(result: AttemptResult) -> Told:
    """Turn a result into what a message carries."""
    return {**vars(result), "outcome": outcome_to_json(result.outcome)}


def attempt_of(told: Told) -> Assignment:
    """Return which attempt a result is of."""
    return told["job_id"], told["attempt"]


def as_many_as_fit(results: list[Told]) -> list[Told]:
    """Return the first results, as many as one message may hold: at least one."""
    chosen: list[Told] = []
    size = 0
    for told in results:
        size += len(results) > 1 and len(json.dumps(told))
        if chosen and size > MAX_TOLD_BYTES:
            break
        chosen.append(told)
    return chosen


class Spool:
    """One worker's files in a directory that all workers of a run may share.

    Parameters
    ----------
    directory
        Made when it is needed, for its owner only.
    worker_id, incarnation
        Whose results these are. The incarnation, unique for each worker, begins their names.
    """

    def __init__(self, directory: Path, worker_id: str, incarnation: str) -> None:
        self._directory, self._made = str(directory), False
        self._worker_id, self._incarnation = worker_id, incarnation
        self._owner = f"{os.getpid()}@{socket.gethostname()}"
        self._book = ""
        self._numbers = itertools.count()
        self._files: dict[tuple[str, Assignment], str] = {}  #: by book and attempt
        self._failed = False  #: said once

    def open_book(self, book: str) -> None:
        """Belong to this run from now on; what is left of others of its name is removed."""
        self._book = book
        for name in [name for name in self._files if name[0] != book]:
            self._remove(name)

    def keep(self, told: Told) -> None:
        """Write a result down. One that cannot be written stays in memory only, with a warning.

        It is not forced to the disk: it has to outlive this process, not this machine.
        """
        note = {**told, "worker": self._worker_id, "book": self._book}
        path = self._next_file()
        try:
            self._write(path, json.dumps(note).encode())
        except OSError as error:
            self._warn(error)
        self._files[self._book, attempt_of(told)] = path

    def _write(self, path: str, data: bytes) -> None:
        if not self._made:
            Path(self._directory).mkdir(mode=0o700, parents=True, exist_ok=True)
            self._made = True
        with open(os.open(path, _NEW_FILE, 0o600), "wb", buffering=0) as file:
            file.write(data)

    def forget(self, held: Assignment) -> None:
        """Remove what was acknowledged, or is not wanted."""
        self._remove((self._book, held))

    def inherit(self) -> list[Told]:
        """Take over what dead workers have left; each result with its ``book`` and ``worker``."""
        try:
            names = sorted(os.listdir(self._directory))
        except (FileNotFoundError, NotADirectoryError):
            return []
        taken = [self._take(Path(self._directory, name)) for name in names]
        return [told for told in taken if told is not None]

    def _take(self, path: Path) -> Told | None:
        try:
            if not _is_orphaned(path):
                return None
            # what is refused here would be there, too
            told: Told = decode(read_private(path, MAX_SPOOLED) or "null")
            book = read_text(told, "book", 64)
            read_results([told], self._worker_id, self._incarnation)
            own = self._next_file()
            path.rename(own)  # only one worker succeeds in this
        except (ConfigurationError, OSError, ValueError) as error:
            # Somebody else was first, its worker was killed while it wrote, or it is no result.
            logger.debug("%s is left alone: %r", path, error)
            return None
        self._files[book, attempt_of(told)] = own
        return told

    def _remove(self, name: tuple[str, Assignment]) -> None:
        path = self._files.pop(name, None)
        if path is not None:
            with suppress(FileNotFoundError):
                os.unlink(path)

    def _next_file(self) -> str:
        name = f"{self._incarnation}-{next(self._numbers)}-{self._owner}.json"
        return os.path.join(self._directory, name)

    def _warn(self, error: OSError) -> None:
        if not self._failed:
            self._failed = True
            logger.warning(
                "results cannot be kept in %s (%s): they are lost if this worker is killed before "
                "the dispatcher has them",
                self._directory,
                error.strerror,
            )


def _is_orphaned(path: Path) -> bool:
    """Whether the worker that wrote or took this file is gone, as far as it can be known."""
    owner, _, host = path.stem.rpartition("@")
    pid = int(owner.rpartition("-")[2])
    gone = connection_is_stale({"host": host, "pid": pid})
    return gone or time.time() - path.stat().st_mtime > ORPHANED_AFTER_S

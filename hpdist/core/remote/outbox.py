"""Results that no dispatcher has acknowledged yet, in private files that outlive their worker.

A worker that is killed while there is no master loses no results: the next worker with the same
directory reports them. That may happen twice or too late, which is harmless: the dispatcher
accepts a result once, and only that of the latest attempt.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from hpdist.core.journal.connection_file import connection_is_stale
from hpdist.core.journal.private_files import read_private
from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.events import Assignment, AttemptResult
from hpdist.core.model.field_codec import from_json, to_json
from hpdist.core.model.json_codec import MAX_TEXT, decode
from hpdist.core.remote.messages import ReportedResult

logger = logging.getLogger(__name__)

#: Maximum size of the results in one message, if there is more than one.
MAX_RESULTS_BYTES = 500_000

#: Maximum size of a file that is read: the result has to fit into a message with other fields.
MAX_FILE_BYTES = MAX_TEXT - 65_536

#: Seconds after which other workers may report a result although its worker may be alive.
ABANDONED_AFTER_S = 60.0

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def reported(result: AttemptResult) -> ReportedResult:
    """Return a result as it is sent in a message."""
    return ReportedResult(**vars(result))


def as_many_as_fit(results: Sequence[ReportedResult]) -> tuple[ReportedResult, ...]:
    """Return the first results, as many as fit into one message, but one or more."""
    if len(results) < 2:
        return tuple(results)
    size = 0
    for count, result in enumerate(results):
        size += len(json.dumps(to_json(result)))
        if count and size > MAX_RESULTS_BYTES:
            return tuple(results[:count])
    return tuple(results)


class Outbox:
    """One worker's files in a directory that all workers of a run may share.

    Parameters
    ----------
    directory
        Created when it is needed, with access for its owner only.
    worker_id, incarnation
        Ids of the worker. File names start with the incarnation, which is unique for each worker.
    """

    def __init__(self, directory: Path, worker_id: str, incarnation: str) -> None:
        self._directory = str(directory)
        self._made = False
        self._worker_id = worker_id
        self._incarnation = incarnation
        self._owner = f"{os.getpid()}@{socket.gethostname()}"
        self._instance = ""
        self._numbers = itertools.count()
        self._files: dict[tuple[str, Assignment], str] = {}  #: by run instance and attempt
        self._failed = False  #: logged once

    def set_instance(self, instance: str) -> None:
        """Set the run instance; results of other run instances are removed."""
        self._instance = instance
        for name in [name for name in self._files if name[0] != instance]:
            self._remove(name)

    def keep(self, result: ReportedResult) -> None:
        """Write a result to a file; if that fails it stays in memory, with a warning.

        The file is not synced to the disk: it has to outlive this process, not this machine.
        """
        record = replace(result, worker=self._worker_id, instance=self._instance)
        path = self._next_file()
        try:
            self._write(path, json.dumps(to_json(record)).encode())
        except OSError as error:
            self._warn(error)
        self._files[self._instance, result.assignment] = path

    def _write(self, path: str, data: bytes) -> None:
        if not self._made:
            Path(self._directory).mkdir(mode=0o700, parents=True, exist_ok=True)
            self._made = True
        with open(os.open(path, _NEW_FILE, 0o600), "wb", buffering=0) as file:
            file.write(data)

    def forget(self, assignment: Assignment) -> None:
        """Remove a result that was acknowledged or is no longer wanted."""
        self._remove((self._instance, assignment))

    def recover(self) -> list[ReportedResult]:
        """Take over the results of dead workers, each with its worker and run instance."""
        try:
            names = sorted(os.listdir(self._directory))
        except (FileNotFoundError, NotADirectoryError):
            return []
        taken = [self._take(Path(self._directory, name)) for name in names]
        return [result for result in taken if result is not None]

    def _take(self, path: Path) -> ReportedResult | None:
        try:
            if not _is_abandoned(path):
                return None
            # the dispatcher's reader: a result that is rejected here would be rejected there
            data = decode(read_private(path, MAX_FILE_BYTES) or "null")
            result = from_json(ReportedResult, data)
            own = self._next_file()
            path.rename(own)  # only one worker succeeds in this
        except (ConfigurationError, OSError, ValueError) as error:
            # Another worker took it, its worker was killed while writing, or it is no result.
            logger.debug("%s is left alone: %r", path, error)
            return None
        self._files[result.instance, result.assignment] = own
        return result

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


def _is_abandoned(path: Path) -> bool:
    """Whether the worker that owns this file is known to be dead, or the file is old."""
    owner, _, host = path.stem.rpartition("@")
    pid = int(owner.rpartition("-")[2])
    gone = connection_is_stale({"host": host, "pid": pid})
    return gone or time.time() - path.stat().st_mtime > ABANDONED_AFTER_S

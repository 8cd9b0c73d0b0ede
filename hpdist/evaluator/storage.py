"""Storages: the jobs of searches, readable by all evaluators of a search."""

from __future__ import annotations

import itertools
import json
import logging
import os
import re
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from hpdist.core.journal.durable_files import make_directory, write_all
from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.validation import check_path, short_repr
from hpdist.core.model.values import JsonValue
from hpdist.evaluator.temporary_directory import temporary_directory

logger = logging.getLogger(__name__)

Entry = dict[str, JsonValue]
"""A job as `hpdist.evaluator.job.Job.to_json` describes it; of one job the latest counts."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NEW = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW


class Storage(ABC):
    """Searches, and the jobs of each."""

    @abstractmethod
    def new_search(self) -> str:
        """Start a search and return its id."""

    @abstractmethod
    def has_search(self, search_id: str) -> bool:
        """Whether there is a search of this id."""

    @abstractmethod
    def new_job(self, search_id: str) -> str:
        """Return an id that no other job has."""

    @abstractmethod
    def write(self, search_id: str, entry: Entry) -> None:
        """Write the present state of a job; from any thread."""

    @abstractmethod
    def read(self, search_id: str, marks: dict[str, int]) -> list[Entry]:
        """Return the jobs written since ``marks``, which are updated; {} for all."""


class MemoryStorage(Storage):
    """A storage in the memory of this process, which several evaluators may share."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._jobs: dict[str, itertools.count[int]] = {}
        self._entries: dict[str, list[Entry]] = {}

    def new_search(self) -> str:
        search_id = str(next(self._numbers))
        self._jobs[search_id], self._entries[search_id] = itertools.count(), []
        return search_id

    def has_search(self, search_id: str) -> bool:
        return search_id in self._jobs

    def new_job(self, search_id: str) -> str:
        return f"{search_id}.{next(self._jobs[search_id])}"

    def write(self, search_id: str, entry: Entry) -> None:
        self._entries[search_id].append(entry)

    def read(self, search_id: str, marks: dict[str, int]) -> list[Entry]:
        entries = self._entries[search_id]
        start = marks.get(search_id, 0)
        marks[search_id] = len(entries)
        return entries[start:]


class JournalStorage(Storage):
    """A storage in a directory, shared by all processes that see it.

    Each search is a directory, in which each process appends lines of JSON to a file of its own,
    so that there is no lock to wait for. Written jobs survive the process, but not a crash of the
    machine.
    """

    def __init__(self, directory: str | Path) -> None:
        self.directory = check_path("directory", directory)
        make_directory(self.directory)
        self._forget()

    def _forget(self) -> None:
        """Start without open files: after a fork they belong to the other process."""
        self._pid = os.getpid()
        self._files: dict[str, tuple[int, str, itertools.count[int]]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"directory": self.directory}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._forget()

    def new_search(self) -> str:
        for number in itertools.count(len(list(self.directory.iterdir()))):
            try:
                (self.directory / str(number)).mkdir(mode=0o700)
            except FileExistsError:
                continue
            return str(number)
        raise AssertionError

    def has_search(self, search_id: str) -> bool:
        return bool(_NAME.fullmatch(search_id)) and (self.directory / search_id).is_dir()

    def new_job(self, search_id: str) -> str:
        _, writer, numbers = self._own(search_id)
        return f"{search_id}.{writer}-{next(numbers)}"

    def write(self, search_id: str, entry: Entry) -> None:
        write_all(self._own(search_id)[0], json.dumps(entry).encode() + b"\n")

    def read(self, search_id: str, marks: dict[str, int]) -> list[Entry]:
        found: list[Entry] = []
        for path in sorted((self.directory / search_id).glob("*.jsonl")):
            with path.open("rb") as file:
                file.seek(marks.get(path.name, 0))
                # a line without its end is still being written
                lines = file.read().split(b"\n")[:-1]
            marks[path.name] = marks.get(path.name, 0) + sum(len(line) + 1 for line in lines)
            found += filter(None, (_parsed(line, path) for line in lines))
        return found

    def close(self) -> None:
        """Close the files of this process; they are opened again when needed."""
        for file, _, _ in self._files.values():
            os.close(file)
        self._files.clear()

    def _own(self, search_id: str) -> tuple[int, str, itertools.count[int]]:
        if self._pid != os.getpid():
            self._forget()
        if search_id not in self._files:
            self._files[search_id] = self._opened(self.directory / search_id)
        return self._files[search_id]

    @staticmethod
    def _opened(directory: Path) -> tuple[int, str, itertools.count[int]]:
        for number in itertools.count(len(list(directory.iterdir()))):
            try:
                file = os.open(directory / f"{number}.jsonl", _NEW, 0o600)
            except FileExistsError:
                continue
            return file, str(number), itertools.count()
        raise AssertionError


class SharedMemoryStorage(JournalStorage):
    """A `JournalStorage` in memory, for processes of this machine, such as forked ones.

    It is passed to other processes by pickling, and is removed with the original object.
    """

    def __init__(self) -> None:
        parent = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        directory, self._remove = temporary_directory(self, parent)
        super().__init__(directory)

    def close(self) -> None:
        super().close()
        if "_remove" in vars(self):  # else this is a copy
            self._remove()


def check_storage(storage: object) -> Storage:
    """Return a storage, in memory where none is given."""
    if storage is None:
        return MemoryStorage()
    if isinstance(storage, Storage):
        return storage
    raise ConfigurationError(
        f"{short_repr(storage)} is no storage", do="storage=JournalStorage('directory')"
    )


def _parsed(line: bytes, path: Path) -> Entry | None:
    try:
        entry = json.loads(line)
    except ValueError:
        entry = None
    if isinstance(entry, dict) and isinstance(entry.get("job_id"), str):
        return entry
    logger.warning("%s has a line that is no job, which is passed over: %.80r", path, line)
    return None

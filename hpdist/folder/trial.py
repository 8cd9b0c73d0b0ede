"""A trial on the disk of a shared folder: its files, its state, and who evaluates it now."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from hpdist.folder.election import is_dead, system, write_whole
from hpdist.folder.transport import read_json

ERROR = "error"
"""What stands in a result file for an evaluation that failed; the journal tells why."""

_in_progress: Trial | None = None


class TrialState(str, Enum):
    """Where a trial stands, by its files."""

    COMPLETE = "evaluated"  #: there is a result, if only of a failure
    IN_PROGRESS = "in_progress"  #: a process that lives evaluates it
    PENDING = "pending"  #: it was sampled, and nobody evaluates it
    CORRUPTED = "corrupted"  #: none of these


@dataclass(frozen=True)
class ConfigResult:
    """A trial as results tell of it; ``result`` is a mapping with ``loss``, or "error"."""

    id: str
    config: Mapping[str, Any]
    result: Mapping[str, Any] | str | None
    metadata: Mapping[str, Any]


class TrialLock:
    """Says who evaluates a trial; looking at it takes nothing from anybody."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def is_locked(self) -> bool:
        """Whether a process holds it that is not known to be dead."""
        process = read_json(self.path).get("process")
        return process is not None and not is_dead(process)

    def take(self) -> None:
        """Note this process as the one that evaluates."""
        write_whole(self.path, json.dumps({"process": [system(), os.getpid()]}).encode())

    def release(self) -> None:
        self.path.unlink(missing_ok=True)


@dataclass
class TrialDisk:
    """Where a trial's files are.

    Parameters
    ----------
    pipeline_dir
        Its directory.
    """

    pipeline_dir: Path
    id: str = field(init=False)
    config_file: Path = field(init=False)
    result_file: Path = field(init=False)
    metadata_file: Path = field(init=False)
    optimization_dir: Path = field(init=False)
    previous_config_id_file: Path = field(init=False)
    previous_pipeline_dir: Path | None = field(init=False)
    lock: TrialLock = field(init=False)

    def __post_init__(self) -> None:
        self.pipeline_dir = place = Path(self.pipeline_dir)
        self.id = place.name.removeprefix("config_")
        self.config_file = place / "config.json"
        self.result_file = place / "result.json"
        self.metadata_file = place / "metadata.json"
        self.optimization_dir = place.parent.parent
        self.previous_config_id_file = place / "previous_config.id"
        self.lock = TrialLock(place / "lock.json")
        former = self._previous_id()
        self.previous_pipeline_dir = None if former is None else place.parent / f"config_{former}"

    @classmethod
    def from_dir(cls, pipeline_dir: Path) -> TrialDisk:
        """Return what is in ``pipeline_dir``."""
        return cls(pipeline_dir)

    @property
    def state(self) -> TrialState:
        """The state of the trial by its files."""
        if _holds(self.result_file):
            return TrialState.COMPLETE
        if not _holds(self.config_file):
            return TrialState.CORRUPTED
        return TrialState.IN_PROGRESS if self.lock.is_locked() else TrialState.PENDING

    def config(self) -> dict[str, Any]:
        """Read the configuration."""
        config: dict[str, Any] = json.loads(self.config_file.read_bytes())
        return config

    def load(self) -> Trial:
        """Read the trial."""
        result = json.loads(self.result_file.read_bytes()) if _holds(self.result_file) else None
        metadata = read_json(self.metadata_file)
        trial = Trial(self.id, self.config(), self.pipeline_dir, self._previous_id(), metadata)
        trial.results = result
        return trial

    def _previous_id(self) -> str | None:
        file = self.previous_config_id_file
        return file.read_text().strip() if _holds(file) else None


@dataclass
class Trial:
    """A configuration and what belongs to it.

    Attributes
    ----------
    pipeline_dir
        Its directory.
    prev_config_id
        The trial that it goes on from.
    metadata
        ``time_sampled``, ``time_end`` and, under a budget of cost, ``budget``.
    results
        A mapping with ``loss``, "error", or None while there is none.
    """

    id: str
    config: Mapping[str, Any]
    pipeline_dir: Path
    prev_config_id: str | None
    metadata: dict[str, Any]
    results: Mapping[str, Any] | str | None = None
    disk: TrialDisk = field(init=False, repr=False)

    State = TrialState
    Disk = TrialDisk

    def __post_init__(self) -> None:
        self.pipeline_dir = Path(self.pipeline_dir)
        self.disk = TrialDisk(self.pipeline_dir)

    @property
    def state(self) -> TrialState:
        """The state of the trial on disk."""
        return self.disk.state

    def to_result(
        self, config_transform: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None
    ) -> ConfigResult:
        """Return what is on disk, its configuration transformed."""
        found = self.disk.load()
        config = found.config if config_transform is None else config_transform(found.config)
        return ConfigResult(self.id, config, found.results, found.metadata)

    def write_to_disk(self) -> TrialDisk:
        """Write every file that has a content, each as a whole; the result last."""
        self.pipeline_dir.mkdir(parents=True, exist_ok=True)
        _write(self.disk.config_file, dict(self.config))
        _write(self.disk.metadata_file, self.metadata)
        if self.prev_config_id is not None:
            write_whole(self.disk.previous_config_id_file, self.prev_config_id.encode())
        if self.results is not None:
            _write(self.disk.result_file, self.results)
        self.disk = TrialDisk(self.pipeline_dir)
        return self.disk


def get_in_progress_trial() -> Trial | None:
    """Return the trial that this process evaluates now; None outside an evaluation."""
    return _in_progress


def set_in_progress_trial(trial: Trial | None) -> None:
    """Say which trial this process evaluates."""
    global _in_progress
    _in_progress = trial


def _holds(file: Path) -> bool:
    return file.is_file() and file.stat().st_size > 0


def _write(path: Path, content: Any) -> None:
    write_whole(path, json.dumps(content, indent=1).encode())

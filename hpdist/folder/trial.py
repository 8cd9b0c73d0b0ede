"""A trial on the disk of a shared folder: its files, its state, and its current process."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from hpdist.folder.election import is_dead, replace_contents, system
from hpdist.folder.transport import read_json

ERROR = "error"
"""Content of the result file of a failed evaluation; the reason is in the journal."""

_in_progress: Trial | None = None


class TrialState(str, Enum):
    """State of a trial, derived from its files."""

    COMPLETE = "evaluated"  #: there is a result, which may be a failure
    IN_PROGRESS = "in_progress"  #: a live process evaluates it
    PENDING = "pending"  #: it was sampled, and no process evaluates it
    CORRUPTED = "corrupted"  #: none of these


@dataclass(frozen=True)
class ConfigResult:
    """The result of a trial; ``result`` is a mapping with ``loss``, or "error"."""

    id: str
    config: Mapping[str, Any]
    result: Mapping[str, Any] | str | None
    metadata: Mapping[str, Any]


class TrialLock:
    """Names the process that evaluates a trial; reading it has no effect on that process."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def is_locked(self) -> bool:
        """Whether a process that is not known to be dead has taken the lock."""
        process = read_json(self.path).get("process")
        return process is not None and not is_dead(process)

    def take(self) -> None:
        """Record this process as the one that evaluates the trial."""
        replace_contents(self.path, json.dumps({"process": [system(), os.getpid()]}).encode())

    def release(self) -> None:
        self.path.unlink(missing_ok=True)


@dataclass
class TrialDisk:
    """The files of a trial.

    Parameters
    ----------
    pipeline_dir
        Directory of the trial.
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
        self.pipeline_dir = directory = Path(self.pipeline_dir)
        self.id = directory.name.removeprefix("config_")
        self.config_file = directory / "config.json"
        self.result_file = directory / "result.json"
        self.metadata_file = directory / "metadata.json"
        self.optimization_dir = directory.parent.parent
        self.previous_config_id_file = directory / "previous_config.id"
        self.lock = TrialLock(directory / "lock.json")
        former = self._previous_id()
        self.previous_pipeline_dir = (
            None if former is None else directory.parent / f"config_{former}"
        )

    @classmethod
    def from_dir(cls, pipeline_dir: Path) -> TrialDisk:
        """Return the files of the trial in ``pipeline_dir``."""
        return cls(pipeline_dir)

    @property
    def state(self) -> TrialState:
        """The state of the trial by its files."""
        if _has_content(self.result_file):
            return TrialState.COMPLETE
        if not _has_content(self.config_file):
            return TrialState.CORRUPTED
        return TrialState.IN_PROGRESS if self.lock.is_locked() else TrialState.PENDING

    def config(self) -> dict[str, Any]:
        """Read the configuration."""
        config: dict[str, Any] = json.loads(self.config_file.read_bytes())
        return config

    def load(self) -> Trial:
        """Read the trial."""
        result = (
            json.loads(self.result_file.read_bytes()) if _has_content(self.result_file) else None
        )
        metadata = read_json(self.metadata_file)
        trial = Trial(self.id, self.config(), self.pipeline_dir, self._previous_id(), metadata)
        trial.results = result
        return trial

    def _previous_id(self) -> str | None:
        file = self.previous_config_id_file
        return file.read_text().strip() if _has_content(file) else None


@dataclass
class Trial:
    """A configuration with its files, metadata and results.

    Attributes
    ----------
    pipeline_dir
        Directory of the trial.
    prev_config_id
        Id of the trial that this one continues.
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
        """Return the result on disk, with the configuration transformed."""
        found = self.disk.load()
        config = found.config if config_transform is None else config_transform(found.config)
        return ConfigResult(self.id, config, found.results, found.metadata)

    def write_to_disk(self) -> TrialDisk:
        """Write all files that have contents, replacing each at once; the result last."""
        self.pipeline_dir.mkdir(parents=True, exist_ok=True)
        _write(self.disk.config_file, dict(self.config))
        _write(self.disk.metadata_file, self.metadata)
        if self.prev_config_id is not None:
            replace_contents(self.disk.previous_config_id_file, self.prev_config_id.encode())
        if self.results is not None:
            _write(self.disk.result_file, self.results)
        self.disk = TrialDisk(self.pipeline_dir)
        return self.disk


def get_in_progress_trial() -> Trial | None:
    """Return the trial that this process evaluates now; None outside an evaluation."""
    return _in_progress


def set_in_progress_trial(trial: Trial | None) -> None:
    """Set the trial that this process evaluates; None after the evaluation."""
    global _in_progress
    _in_progress = trial


def _has_content(file: Path) -> bool:
    return file.is_file() and file.stat().st_size > 0


def _write(path: Path, content: Any) -> None:
    replace_contents(path, json.dumps(content, indent=1).encode())

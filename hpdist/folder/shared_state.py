"""The state that processes on one folder share: directories, trials and the optimizer's info."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hpdist.core.journal.durable_files import create_file
from hpdist.folder.election import TERMS, Election
from hpdist.folder.transport import read_json
from hpdist.folder.trial import TrialDisk, TrialState

logger = logging.getLogger(__name__)


@dataclass
class SharedState:
    """A shared folder.

    Parameters
    ----------
    base_dir
        The directory.
    create_dirs
        Create missing directories.
    """

    base_dir: Path
    create_dirs: bool = False
    lock: Election = field(init=False, repr=False)
    optimizer_state_file: Path = field(init=False)
    optimizer_info_file: Path = field(init=False)
    results_dir: Path = field(init=False)

    def __post_init__(self) -> None:
        self.base_dir = Path(self.base_dir)
        #: the state of the optimizer is computed from the journal
        self.optimizer_state_file = self.base_dir / "journal"
        self.optimizer_info_file = self.base_dir / ".optimizer_info.json"
        self.results_dir = self.base_dir / "results"
        if self.create_dirs:
            self.results_dir.mkdir(parents=True, exist_ok=True)
        self.lock = Election(self.base_dir / TERMS, f"state-{os.getpid()}", 4.0)

    def trial_refs(self) -> dict[TrialState, list[TrialDisk]]:
        """Return the trials on disk by their state."""
        found: dict[TrialState, list[TrialDisk]] = {state: [] for state in TrialState}
        for directory in sorted(self.results_dir.iterdir()):
            if directory.is_dir() and directory.name.startswith("config_"):
                disk = TrialDisk(directory)
                found[disk.state].append(disk)
        return found

    def check_optimizer_info_on_disk_matches(
        self,
        optimizer_info: Mapping[str, Any],
        *,
        excluded_keys: Iterable[str] = ("searcher_name",),
    ) -> None:
        """Compare the info of this process with that in the folder.

        Raises
        ------
        ValueError
            If they differ; the message shows both.
        """
        recorded = read_json(self.optimizer_info_file)
        # through JSON, which turns tuples into lists
        given = json.loads(json.dumps(dict(optimizer_info)))
        for key in excluded_keys:
            recorded.pop(key, None)
            given.pop(key, None)
        if given != recorded:
            raise ValueError(
                f"the optimizer's info in {self.optimizer_info_file} differs: this process has "
                f"{given}, and the file has {recorded}"
            )

    def record_optimizer_info(self, optimizer_info: Mapping[str, Any]) -> None:
        """Write the info into a new folder, or compare it with that of an existing one."""
        text = json.dumps(dict(optimizer_info), indent=1).encode()
        if not create_file(self.optimizer_info_file, text):
            self.check_optimizer_info_on_disk_matches(optimizer_info)

    def move_corrupted(self) -> None:
        """Rename directories of corrupted trials, with a warning; nothing is deleted."""
        for disk in self.trial_refs()[TrialState.CORRUPTED]:
            aside = disk.pipeline_dir.with_name(f"corrupted_{disk.pipeline_dir.name}")
            number = 1
            while aside.exists():
                number += 1
                aside = aside.with_name(f"corrupted_{disk.pipeline_dir.name}.{number}")
            logger.warning("%s contains no trial; it is moved to %s", disk.pipeline_dir, aside)
            disk.pipeline_dir.rename(aside)

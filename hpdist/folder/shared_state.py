"""What processes on one folder share: its directories, its trials, and what it was begun with."""

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
    """A folder.

    Parameters
    ----------
    base_dir
        Its directory.
    create_dirs
        Make what is missing.
    """

    base_dir: Path
    create_dirs: bool = False
    lock: Election = field(init=False, repr=False)
    optimizer_state_file: Path = field(init=False)
    optimizer_info_file: Path = field(init=False)
    results_dir: Path = field(init=False)

    def __post_init__(self) -> None:
        self.base_dir = Path(self.base_dir)
        #: the state of the optimizer is what follows from the journal
        self.optimizer_state_file = self.base_dir / "journal"
        self.optimizer_info_file = self.base_dir / ".optimizer_info.json"
        self.results_dir = self.base_dir / "results"
        if self.create_dirs:
            self.results_dir.mkdir(parents=True, exist_ok=True)
        self.lock = Election(self.base_dir / TERMS, f"state-{os.getpid()}", 4.0)

    def trial_refs(self) -> dict[TrialState, list[TrialDisk]]:
        """Return the trials on disk by their state."""
        found: dict[TrialState, list[TrialDisk]] = {state: [] for state in TrialState}
        for place in sorted(self.results_dir.iterdir()):
            if place.is_dir() and place.name.startswith("config_"):
                disk = TrialDisk(place)
                found[disk.state].append(disk)
        return found

    def check_optimizer_info_on_disk_matches(
        self,
        optimizer_info: Mapping[str, Any],
        *,
        excluded_keys: Iterable[str] = ("searcher_name",),
    ) -> None:
        """Compare what this process was given with what the folder was begun with.

        Raises
        ------
        ValueError
            If they differ; it shows both.
        """
        there = read_json(self.optimizer_info_file)
        # as JSON holds it, where tuples are lists
        here = json.loads(json.dumps(dict(optimizer_info)))
        for key in excluded_keys:
            there.pop(key, None)
            here.pop(key, None)
        if here != there:
            raise ValueError(
                f"the optimizer's info in {self.optimizer_info_file} is another one: this process "
                f"was given {here}, and there stands {there}"
            )

    def keep_optimizer_info(self, optimizer_info: Mapping[str, Any]) -> None:
        """Write down what the folder is begun with, or compare it with what is there."""
        text = json.dumps(dict(optimizer_info), indent=1).encode()
        if not create_file(self.optimizer_info_file, text):
            self.check_optimizer_info_on_disk_matches(optimizer_info)

    def set_corrupted_aside(self) -> None:
        """Move what is no trial out of the way, with a warning; nothing is deleted."""
        for disk in self.trial_refs()[TrialState.CORRUPTED]:
            aside = disk.pipeline_dir.with_name(f"corrupted_{disk.pipeline_dir.name}")
            number = 1
            while aside.exists():
                number += 1
                aside = aside.with_name(f"corrupted_{disk.pipeline_dir.name}.{number}")
            logger.warning("%s holds no trial; it is moved to %s", disk.pipeline_dir, aside)
            disk.pipeline_dir.rename(aside)

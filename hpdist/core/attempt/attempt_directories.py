"""The directories of attempts."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from hpdist.core.journal.run_directory import RunDirectory
from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.payload import Payload


class AttemptDirectories:
    """Finds directories below a given run directory, or in a temporary one of its own."""

    def __init__(self) -> None:
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._run: RunDirectory | None = None  #: the run directory last used; it rarely changes

    def of(self, root: Path | None, payload: Payload, attempt: int) -> tuple[Path, Path | None]:
        """Return an attempt's directory (not created yet) and the one to continue from, if any.

        Only numbers of the payload become part of a path, so that none leads elsewhere.

        Raises
        ------
        ConfigurationError
            If a symbolic link in the run directory leads out of it.
        """
        run = self._run_at(root)
        trial_id = int(payload.trial_id)
        own = run.attempt_directory(trial_id, float(payload.budget), int(attempt))
        _check_inside(run.path, own)
        previous = payload.previous
        if previous is None:
            return own, None
        former = run.attempt_directory(trial_id, float(previous.budget), int(previous.attempt))
        _check_inside(run.path, former)
        return own, former if former.is_dir() else None

    def _run_at(self, root: Path | None) -> RunDirectory:
        if root is None:
            if self._temporary is None:
                self._temporary = tempfile.TemporaryDirectory(prefix="hpdist-")
            root = Path(self._temporary.name)
        root = root.absolute()
        if self._run is None or self._run.path != root:
            self._run = RunDirectory(root)
        return self._run

    def close(self) -> None:
        """Remove the temporary directory."""
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None


def _check_inside(root: Path, directory: Path) -> None:
    """Check that no symbolic link between ``root`` and ``directory`` leads out of ``root``."""
    end = str(root)
    part = str(directory)
    # checking for links costs much less than resolving both paths, and rarely finds one
    while part != end and not os.path.islink(part):
        part = os.path.dirname(part)
    if part == end:
        return
    found = directory.resolve()
    if not found.is_relative_to(root.resolve()):
        raise ConfigurationError(
            f"{directory} leads to {found}, out of the run directory",
            cause="there is a symbolic link in its path, and no attempt writes through one",
            do="remove the link, or give the worker a directory of its own: --directory DIR",
        )

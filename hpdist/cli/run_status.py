"""The status of a run, read from its directory alone."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path

from hpdist.core.journal.reader import check_intact, read_journal
from hpdist.core.journal.run_directory import RunDirectory
from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.events import RunCreated
from hpdist.core.results.forecast import Forecast
from hpdist.core.results.run_state import RunState
from hpdist.core.run.descriptions import known_generator
from hpdist.multi_fidelity import Asha, IterGenerator


@dataclass(frozen=True)
class RunStatus:
    """The state of a run, and whether a process works on it."""

    state: RunState
    forecast: Forecast

    @property
    def alive(self) -> bool | None:
        """Whether the run's process is alive; None if it is on another machine."""
        session = self.state.resumed
        if self.state.ended is not None or session is None:
            return False
        return _is_alive(session.pid) if session.host == socket.gethostname() else None

    @property
    def label(self) -> str:
        """The status in a word or two."""
        if self.state.ended is not None:
            return self.state.ended.reason
        alive = self.alive
        if alive is None:
            return "not ended"
        return "running" if alive else "broken off"


def read_status(path: str | Path) -> RunStatus:
    """Read the status from a run directory, also while the run goes on.

    Raises
    ------
    ConfigurationError
        If it is not a run directory.
    JournalError
        If its journal is damaged.
    """
    run = RunDirectory(path)
    if not run.journal.exists():
        raise no_run(run.path)
    found = read_journal(run.journal)
    check_intact(run.journal, found)
    state = RunState()
    state.update(found.records)
    return RunStatus(state, Forecast(_generator(state.run)))


def no_run(path: Path) -> ConfigurationError:
    """Return the error for a directory in which no run has started."""
    runs_below = (
        sorted(each.parent.name for each in path.glob("*/journal")) if path.is_dir() else []
    )
    return ConfigurationError(
        f"{path} is no run directory" if path.exists() else f"there is no directory {path}",
        cause=f"there is no journal in it; below it are the runs {', '.join(runs_below)}"
        if runs_below
        else "no master or search has started there yet",
        do=f"hpdist status {path / runs_below[0]}" if runs_below else "",
    )


def has_finished(path: str | Path) -> bool:
    """Return True if a run has finished; False if none has started there."""
    return RunDirectory(path).journal.exists() and read_status(path).state.finished


def _generator(header: RunCreated | None) -> IterGenerator:
    """Make the iteration generator of a run, where it is one of hpdist's own."""
    found = known_generator(header.iter_generator) if header else None
    return found or Asha(1, 3)  # a generator without a plan


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True  # the process of another user
    return pid > 0

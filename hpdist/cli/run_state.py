"""What the directory of a run tells, without asking anybody."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path

from hpdist.core.journal.reader import read_journal, refuse
from hpdist.core.journal.run_directory import RunDirectory
from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.events import Record, RunCreated, RunResumed
from hpdist.core.results.forecast import Forecast
from hpdist.core.results.run_view import RunView
from hpdist.core.run.descriptions import known_generator
from hpdist.multi_fidelity import Asha, IterGenerator


@dataclass(frozen=True)
class RunState:
    """A run as its journal has it.

    Attributes
    ----------
    holder
        The process that took the run over last; None if it is not known.
    """

    view: RunView
    holder: RunResumed | None

    @property
    def finished(self) -> bool:
        ended = self.view.summary.ended
        return ended is not None and ended.reason == "finished"

    @property
    def alive(self) -> bool | None:
        """Whether a process holds the run; None if it is on another machine."""
        if self.view.summary.ended is not None or self.holder is None:
            return False
        if self.holder.host != socket.gethostname():
            return None
        return _lives(self.holder.pid)

    @property
    def state(self) -> str:
        """How it stands, in a word or two."""
        ended = self.view.summary.ended
        if ended is not None:
            return ended.reason
        alive = self.alive
        if alive is None:
            return "not ended"
        return "running" if alive else "broken off"


def read_state(path: str | Path) -> RunState:
    """Read a run directory; the run may be going on.

    Raises
    ------
    ConfigurationError
        If it is no run directory.
    JournalError
        If its journal cannot be relied on.
    """
    run = RunDirectory(path)
    if not run.journal.exists():
        raise no_run(run.path)
    found = read_journal(run.journal)
    refuse(run.journal, found)
    records = found.records
    header = records[0][1] if records else None
    view = RunView(run.path, Forecast(_generator(header)))
    view.apply(records)
    holders = [record for _, record in records if isinstance(record, RunResumed)]
    return RunState(view, holders[-1] if holders else None)


def no_run(path: Path) -> ConfigurationError:
    """Return the error for a directory in which no run has begun."""
    there = sorted(each.parent.name for each in path.glob("*/journal")) if path.is_dir() else []
    return ConfigurationError(
        f"{path} is no run directory" if path.exists() else f"there is no directory {path}",
        cause=f"there is no journal in it; below it are the runs {', '.join(there)}"
        if there
        else "no master or search has begun there yet",
        do=f"hpdist status {path / there[0]}" if there else "",
    )


def has_finished(path: str | Path) -> bool:
    """Whether a run has finished; False if none has begun there."""
    return RunDirectory(path).journal.exists() and read_state(path).finished


def _generator(header: Record | None) -> IterGenerator:
    """Make the iteration generator of a run, where it is one of hpdist's own."""
    found = known_generator(header.iter_generator) if isinstance(header, RunCreated) else None
    return found or Asha(1, 3)  # of which nothing can be foretold either


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True  # as another user's
    return pid > 0

"""Open a run's journal: a new one, or an existing one, which is replayed through the live code."""

from __future__ import annotations

import difflib
import json
import os
import platform
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hpdist.core.dispatch.state import DispatchState
from hpdist.core.journal.disk import REAL, Disk
from hpdist.core.journal.journal import Journal
from hpdist.core.journal.reader import read_header
from hpdist.core.journal.run_directory import RunDirectory
from hpdist.core.model.errors import ConfigurationError, JournalLocked, JournalMismatch, StateError
from hpdist.core.model.events import Controlled, Record, RunCreated, RunResumed
from hpdist.core.model.limits_and_timing import Limits, Retry, Timing
from hpdist.core.model.states import Command
from hpdist.core.model.validation import short_repr
from hpdist.core.results.run_state import RunState
from hpdist.core.run.assembly import RunInstance, Work
from hpdist.core.run.options import RunOptions, RunPolicy
from hpdist.core.study.study import Study

MakeStudy = Callable[[RunCreated | None], Study]
"""Builds the study; given the first record of a journal that is resumed, with its limits,
first configurations and warm start."""

#: Fields in which two searches may differ, in the order of the message.
IDENTITY = (
    *("space", "direction", "seed", "iter_generator", "optimizer"),
    *("early_stopping", "objectives", "objective"),
)

#: Fields that can never change, because they define what the recorded results mean.
FIXED = frozenset(("space", "direction", "objectives"))


@dataclass
class OpenRun:
    """A run whose journal this process holds.

    ``state`` is read by displays and callbacks; ``epoch`` is that of this process.
    """

    journal: Journal
    study: Study
    dispatch: DispatchState
    epoch: int = 1
    former_address: str = ""
    state: RunState = field(default_factory=lambda: RunState(keep_output=False))

    @property
    def resumed(self) -> bool:
        """Whether there was an earlier session."""
        return self.epoch > 1

    @property
    def work(self) -> Work:
        """The work that a loop is made from."""
        return Work(self.study, self.dispatch, self.journal)

    @property
    def instance(self) -> RunInstance:
        """Identity of this session; the run instance id is the start time of its journal."""
        return RunInstance(
            repr(self.state.first_at),
            self.epoch,
            int(self.former_address.rpartition(":")[2] or 0),
            lambda address: self.announce(time.time(), address),
            self.state.running,
        )

    def announce(self, at: float, address: str = "") -> None:
        """Record that this process has taken the run over; durable at the next commit."""
        record = RunResumed(self.epoch, os.getpid(), socket.gethostname(), address, versions())
        self.journal.append(record, at)
        self.state.update([(at, record)])


@dataclass(frozen=True)
class Opening:
    """How a run is opened.

    Attributes
    ----------
    at
        Wall time of new records, in seconds since 1970; default: that of opening.
    objective
        Name and fingerprint of the objective; "" is not compared.
    on_change
        What to do when the journal holds another search: "error", or "continue" with the new
        objective, optimizer or generator (another space or direction is never accepted).
    resume
        "auto" resumes if there is anything to resume; "never" refuses, "must" insists.
    sync_every
        Number of results that are made durable together.
    """

    run_id: str
    at: float | None = None
    objective: str = ""
    on_change: str = RunPolicy.on_change
    resume: str = RunPolicy.resume
    sync_every: int = 1
    retry: Retry | None = None
    timing: Timing | None = None
    disk: Disk = REAL

    def __post_init__(self) -> None:
        RunPolicy(resume=self.resume, on_change=self.on_change)  # checks both

    @classmethod
    def of(
        cls, options: RunOptions, run_id: str, objective: str = "", sync_every: int = 1
    ) -> Opening:
        """Return how the run of a search with these options is opened."""
        policy = options.policy
        return cls(
            run_id,
            objective=objective,
            on_change=policy.on_change,
            resume=policy.resume,
            sync_every=sync_every,
            retry=options.retry,
            timing=options.timing,
        )


def open_run(path: Path, make_study: MakeStudy, how: Opening) -> OpenRun:
    """Open the journal at ``path`` for writing.

    Raises
    ------
    JournalMismatch
        If the journal holds another search; the message lists the differences.
    JournalError
        If it is locked, damaged or unreadable.
    """
    at = time.time() if how.at is None else how.at
    # All checks come before anything is locked, written or cut off.
    header = _header(path, how.resume)
    study = make_study(header)
    now = study.describe(how.run_id, objective=how.objective, versions=versions())
    if header is not None:
        check_same_search(header, now, path, how.on_change)
    RunDirectory(path.parent).create()
    journal = Journal.open(path, sync_every=how.sync_every, disk=how.disk)
    try:
        _check_unchanged(journal, header)
        if header is None:
            journal.append(now, at)
            journal.records.append((at, now))
        return _resumed(journal, study, DispatchState(how.retry, how.timing), how.on_change)
    except BaseException:
        journal.close()
        raise


def _header(path: Path, resume: str) -> RunCreated | None:
    """Return the header of the existing run, None if there is none."""
    found = read_header(path)
    if found is None and resume == "must":
        raise ConfigurationError(
            f"there is no run to resume: {path} does not exist or is empty",
            do="leave resume='must' out, or: hpdist run SCRIPT",
        )
    if found is not None and resume == "never":
        raise ConfigurationError(
            f"{path} holds a run already, and resume='never' was asked for",
            do="choose another run directory, or leave resume='never' out to go on with this one",
        )
    if found is not None and not isinstance(found, RunCreated):
        raise JournalMismatch(f"{path} does not start with the header of a run")
    return found


def _check_unchanged(journal: Journal, header: RunCreated | None) -> None:
    """Reject a journal that another process started or replaced before it was locked."""
    found = journal.records[0][1] if journal.records else None
    if found != header:
        raise JournalLocked(
            f"{journal.path} was written by another process just now",
            do="the same command again continues the run",
        )


def _resumed(journal: Journal, study: Study, dispatch: DispatchState, on_change: str) -> OpenRun:
    run = OpenRun(journal, study, dispatch)
    try:
        replay(run, journal.records)
    except (StateError, LookupError, TypeError, ValueError) as error:
        raise JournalMismatch(
            f"{journal.path} holds records that this search would not have made: "
            f"{error or repr(error)}",
            cause="the iteration generator is another one than the journal's"
            if on_change == "continue"
            else "another version of hpdist, or of the iteration generator, wrote it",
            do="start another run with --new (in Python: another run=...)",
        ) from error
    return run


def replay(run: OpenRun, records: Sequence[tuple[float, Record]]) -> None:
    """Apply the records of earlier sessions."""
    for _, record in records:
        run.study.apply(record)
        run.dispatch.apply(record)
    run.state.update(records)
    if last := run.state.resumed:
        run.epoch = last.epoch + 1
        run.former_address = last.address


def change_limits(run: OpenRun, limits: Limits, at: float) -> None:
    """Record other limits than the journal's; extending a search that has ended reopens it."""
    if limits == run.study.limits:
        return
    change(run, Controlled(Command.EXTEND, asdict(limits)), at)


def change(run: OpenRun, record: Record, at: float) -> None:
    """Record and apply what changed since the last session."""
    run.study.apply(record)
    run.dispatch.apply(record)
    run.journal.append(record, at)
    run.state.update([(at, record)])


def unpause(run: OpenRun, at: float) -> None:
    """Record that a run which was paused goes on."""
    if run.dispatch.paused:
        change(run, Controlled(Command.RESUME), at)


def header_arguments(header: RunCreated) -> dict[str, Any]:
    """Return arguments of a resumed study: the journal's, not those of the present call."""
    try:
        limits = Limits(**header.limits)
    except (TypeError, ConfigurationError) as error:
        raise JournalMismatch(
            f"the journal's limits {short_repr(header.limits)} are not known here",
            cause=str(error),
            do="pip install --upgrade hpdist",
        ) from error
    return {
        "limits": limits,
        "initial_configs": header.initial_configs,
        "warm_start": header.warm_start,
    }


def check_same_search(header: RunCreated, now: RunCreated, path: Path, on_change: str) -> None:
    """Reject a search that is not the journal's.

    Raises
    ------
    JournalMismatch
        With the differences.
    """
    names = [name for name in IDENTITY if _differ(header, now, name)]
    if not names or (on_change == "continue" and not FIXED.intersection(names)):
        return
    changes = "\n".join(
        line for name in names for line in _difference(name, vars(header)[name], vars(now)[name])
    )
    do = "start another run with --new (in Python: another run=...)"
    if not FIXED.intersection(names):
        do += ", or go on with the new\none with --on-change continue (in Python: on_change=...)"
    verb = "differs" if len(names) == 1 else "differ"
    raise JournalMismatch(
        f"{path} holds another search: {', '.join(names)} {verb}", cause=changes, do=do
    )


def _differ(header: RunCreated, now: RunCreated, name: str) -> bool:
    old, new = vars(header)[name], vars(now)[name]
    return old != new and not (name == "objective" and "" in (old, new))


def _difference(name: str, old: Any, new: Any) -> list[str]:
    before, after = (
        json.dumps(value, indent=1, sort_keys=True).splitlines() for value in (old, new)
    )
    lines = difflib.unified_diff(before, after, f"{name} in the journal", f"{name} now", n=1)
    return [line.rstrip("\n") for line in lines if not line.startswith("@@")]


def versions() -> dict[str, str]:
    """Return the versions of packages that results may depend on."""
    found = {name: version(name) for name in ("hpdist", "numpy", "ConfigSpace")}
    return {"python": platform.python_version(), **found}

"""A run of one process: opens its journal, drives its executor, and shows its progress."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hpdist.core.dispatch.executor import Executor
from hpdist.core.journal.run_directory import RunDirectory
from hpdist.core.model.events import Controlled, RunEnded
from hpdist.core.model.states import Command, EndReason
from hpdist.core.model.validation import check_seconds
from hpdist.core.results.progress_display import Progress
from hpdist.core.results.progress_lines import found
from hpdist.core.results.results import Results
from hpdist.core.run.assembly import ServesRun, make_loop
from hpdist.core.run.definition import Search
from hpdist.core.run.resume import Opening, OpenRun, change, change_limits, open_run, unpause
from hpdist.core.run.signals import interruptible
from hpdist.core.run.user_callbacks import Callback, ResultCallbacks


@dataclass(frozen=True)
class LocalRun:
    """A search, its run directory and its executor.

    Attributes
    ----------
    opening
        How its journal is opened.
    retry_failed
        Evaluate failed jobs of a resumed run again.
    keep_limits
        Leave a resumed run's limits as they were.
    time_limit_s, grace_s
        Seconds from now until nothing new starts; seconds for running evaluations after that.
    on_open
        Called when this process has the journal, before anything starts.
    """

    search: Search
    directory: RunDirectory
    executor: Executor
    progress: Progress
    opening: Opening
    callbacks: Sequence[Callback] = ()
    keep_limits: bool = False
    retry_failed: bool = False
    time_limit_s: float = math.inf
    grace_s: float = 10.0
    on_open: Callable[[OpenRun], None] = lambda run: None

    def __post_init__(self) -> None:
        check_seconds("time_limit_s", self.time_limit_s, infinite=True)

    def run(self) -> Results:
        """Run the search to its end, and return its results.

        Raises
        ------
        HpdistError
            If the journal cannot be used, or is another search's; if evaluating is impossible.
        KeyboardInterrupt
            At the second Ctrl-C.
        """
        new = [each for each in self._paths if not os.path.lexists(each)]
        try:
            run = open_run(self.directory.journal, self.search.make_study, self.opening)
        except BaseException:
            _remove_created([each for each in new if each.is_dir()])
            raise
        try:
            notes = self._notes(run)
            has_work = self._prepare(run)
            self.on_open(run)
            if isinstance(self.executor, ServesRun):
                self.executor.take_over(run.instance)
            self.progress.start(run.state, notes)
            try:
                if has_work:
                    self._drive(run)
            finally:
                self.progress.end()
        except BaseException:
            if not run.resumed and not run.study.table.jobs:
                _remove_created(new)
            raise
        finally:
            run.journal.close()
        return Results.read(self.directory.path)

    @property
    def _paths(self) -> list[Path]:
        """Paths that a search creates; directories after their contents."""
        directory = self.directory
        files = [directory.journal, directory.lock]
        return [*files, directory.path, *directory.path.parents]

    def _notes(self, run: OpenRun) -> list[str]:
        """Return lines about the earlier sessions."""
        header = run.state.run
        if not run.resumed or header is None:
            return []
        notes = [found(run.state.counts)]
        if run.journal.cut_bytes:
            notes.append(f"a torn record of {run.journal.cut_bytes} bytes was cut off")
        if kept := self.search.kept_from(header):
            notes.append(f"{' and '.join(kept)} stay as at the start of the run")
        return notes

    def _prepare(self, run: OpenRun) -> bool:
        """Record the changes since the last session; return whether there is work left."""
        at = time.time()
        if run.resumed and not self.keep_limits:
            change_limits(run, self.search.limits, at)
        if self.retry_failed and (failed := run.study.retryable()):
            change(run, Controlled(Command.RETRY, {"jobs": failed}), at)
        unpause(run, at)
        has_work = not run.study.done
        if has_work and not self.executor.keeps_running:
            run.announce(at)  # other executors do so, with their address
        elif not has_work and not run.state.finished:
            change(run, RunEnded(EndReason.FINISHED), at)
        run.journal.commit()
        return has_work

    def _drive(self, run: OpenRun) -> None:
        observers = [run.state.update, *self.progress.observers]
        if self.callbacks:
            observers.append(ResultCallbacks(self.callbacks, run.state))
        limits = {"time_limit_s": self.time_limit_s, "grace_s": self.grace_s}
        loop = make_loop(run.work, self.executor, observers, **limits)
        with interruptible(loop.inbox, self._interrupted):
            loop.run()

    def _interrupted(self) -> None:
        self.progress.notice(
            "waiting for the running evaluations; Ctrl-C again stops them now. To go on later: "
            f"the same command again, or: hpdist resume {self.directory.path}"
        )


def _remove_created(made: Sequence[Path]) -> None:
    """Remove the files of a search that failed before its first evaluation."""
    for path in made:
        # A directory in which there is anything else stays.
        with suppress(OSError):
            path.unlink() if path.is_file() else path.rmdir()

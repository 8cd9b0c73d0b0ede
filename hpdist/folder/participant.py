"""One process of a search in a shared directory: it evaluates, and leads the run when elected."""

from __future__ import annotations

import itertools
import logging
import os
import platform
import socket
import threading
import uuid
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hpdist.core.attempt.child_runner import ChildRunner
from hpdist.core.attempt.inline_runner import InlineRunner
from hpdist.core.attempt.runner import Runner
from hpdist.core.dispatch.executor import Executor
from hpdist.core.journal.run_directory import RunDirectory
from hpdist.core.journal.run_names import safe_run_id
from hpdist.core.model.events import Assignment, AttemptResult
from hpdist.core.model.limits_and_timing import Timing
from hpdist.core.model.payload import Payload
from hpdist.core.model.values import WorkerInfo
from hpdist.core.objective.limits import check_attempt_limits, check_enforceable, check_isolation
from hpdist.core.objective.objective import Objective
from hpdist.core.remote.channel import Channel, Timeouts
from hpdist.core.remote.outbox import Outbox
from hpdist.core.remote.session import Session
from hpdist.core.results.results import Results
from hpdist.core.run.local_run import LocalRun
from hpdist.core.run.options import FOLDER_TIMING
from hpdist.folder.leader import Candidate
from hpdist.folder.transport import MESSAGES, FolderChannel

logger = logging.getLogger(__name__)


class _Counted:
    """A runner that says when an attempt has come to its end."""

    def __init__(self, runner: Runner, count: Callable[[Payload], None]) -> None:
        self._runner, self._count = runner, count
        self.start, self.close = runner.start, runner.close

    def run(self, payload: Payload, assignment: Assignment, **options: Any) -> AttemptResult | None:
        result = self._runner.run(payload, assignment, **options)
        if result is not None:
            self._count(payload)
        return result


class Participant:
    """Works for the search in ``directory`` until it ends.

    Parameters
    ----------
    make_run
        Makes the search that this process drives when it is elected.
    runners
        One for each evaluation at a time.
    max_evaluations
        Leave after so many; None for no limit.
    on_evaluated
        Called with what was evaluated, in the thread that did; what it raises is logged.
    look_s
        Seconds between two looks for an answer, at most.
    """

    def __init__(
        self,
        directory: Path,
        make_run: Callable[[Executor], LocalRun],
        runners: Sequence[Runner],
        *,
        timing: Timing = FOLDER_TIMING,
        max_evaluations: int | None = None,
        on_evaluated: Callable[[Payload], object] = lambda payload: None,
        look_s: float | None = None,
    ) -> None:
        self._directory = RunDirectory(directory)
        self._directory.create()
        (directory / MESSAGES).mkdir(exist_ok=True)
        self._name = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        self._candidate = Candidate(directory, self._name, make_run, timing, self._leave)
        self._timing = timing
        self._runners = [_Counted(each, self._count) for each in runners]
        self._sessions = [self._session(index, each) for index, each in enumerate(self._runners)]
        self._on_evaluated, self._look_s = on_evaluated, look_s
        self._most, self._numbers = max_evaluations, itertools.count(1)
        self._failed: list[BaseException] = []

    def run(self) -> Results:
        """Work until the search ends, or enough was evaluated; return what is known then.

        Raises
        ------
        HpdistError
            If the search cannot be held, or evaluating is impossible.
        """
        self._candidate.start()
        others = [
            threading.Thread(target=self._serve, args=(i,), name=f"hpdist-folder-{i}", daemon=True)
            for i in range(1, len(self._sessions))
        ]
        for thread in others:
            thread.start()
        try:
            self._serve(0)
            for thread in others:
                thread.join()
        except BaseException:
            self._leave("interrupted")
            raise
        finally:
            self._candidate.leave()
        for error in (*self._failed, self._candidate.failure):
            if error is not None:
                raise error
        return Results.read(self._directory.path)

    def _serve(self, index: int) -> None:
        session, runner = self._sessions[index], self._runners[index]
        try:
            runner.start()
            session.run()
        except Exception as error:  # noqa: BLE001 - `run` raises it
            self._failed.append(error)
            self._leave("another evaluation of this process failed")
        finally:
            runner.close()

    def _count(self, payload: Payload) -> None:
        try:
            self._on_evaluated(payload)
        except Exception:  # a caller's hook must not end his search
            logger.exception("%r failed; the search goes on", self._on_evaluated)
        if self._most is not None and next(self._numbers) >= self._most:
            self._leave("it has evaluated what it was to", at_once=False)

    def _leave(self, why: str, *, at_once: bool = True) -> None:
        for session in self._sessions:
            session.leave(why, at_once=at_once)

    def _session(self, index: int, runner: Runner) -> Session:
        worker_id, incarnation = f"{self._name}-{index}", uuid.uuid4().hex
        channels = itertools.count()
        path, run_id = self._directory.path, safe_run_id(self._directory.path.resolve().name)

        def open_channel() -> Channel:
            name = f"{worker_id}.{next(channels)}"
            leader = self._candidate.election.look
            return FolderChannel(path / MESSAGES, name, run_id, leader, self._look_s)

        return Session(
            WorkerInfo(
                worker_id,
                incarnation,
                host=socket.gethostname(),
                pid=os.getpid(),
                details={"hpdist": version("hpdist"), "python": platform.python_version()},
            ),
            run_id,
            runner,
            open_channel,
            Outbox(self._directory.outbox, worker_id, incarnation),
            directory=path,
            timeouts=Timeouts(longest_pause_s=0.5),
        )


def runners_of(
    objective: Objective,
    count: int,
    isolation: str,
    job_timeout: float | None,
    memory_limit: int | None,
) -> list[Runner]:
    """Return so many runners, each with a child process unless ``isolation`` is "none"."""
    limits = check_attempt_limits(job_timeout, memory_limit)
    check_enforceable(check_isolation(isolation), limits)
    if isolation == "none":
        return [InlineRunner(objective) for _ in range(count)]
    return [ChildRunner(objective, **limits) for _ in range(count)]

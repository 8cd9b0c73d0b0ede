"""One process of a search in a shared directory: it evaluates, and leads the search if elected."""

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
from hpdist.core.model.limits_and_timing import FOLDER_TIMING, Timing
from hpdist.core.model.payload import Payload
from hpdist.core.model.values import WorkerInfo
from hpdist.core.objective.limits import check_attempt_limits, check_enforceable, check_isolation
from hpdist.core.objective.objective import Objective
from hpdist.core.remote.channel import Channel, Timeouts
from hpdist.core.remote.outbox import Outbox
from hpdist.core.remote.session import Session
from hpdist.core.results.results import Results
from hpdist.core.run.local_run import LocalRun
from hpdist.folder.leader import Candidate
from hpdist.folder.transport import MESSAGES, FolderChannel

logger = logging.getLogger(__name__)


class _CountingRunner:
    """A runner that calls ``count`` when an attempt has ended."""

    def __init__(self, runner: Runner, count: Callable[[Payload], None]) -> None:
        self._runner = runner
        self._count = count
        self.start = runner.start
        self.close = runner.close

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
        Makes the run that this process drives when it is elected.
    runners
        One for each concurrent evaluation.
    max_evaluations
        Leave after this number; None for no limit.
    on_evaluated
        Called with the payload after each evaluation, in its thread; exceptions are logged.
    max_poll_s
        Maximum seconds between two polls for a response.
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
        max_poll_s: float | None = None,
    ) -> None:
        self._directory = RunDirectory(directory)
        self._directory.create()
        (directory / MESSAGES).mkdir(exist_ok=True)
        self._name = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        self._candidate = Candidate(directory, self._name, make_run, timing, self._leave)
        self._timing = timing
        self._runners = [_CountingRunner(each, self._count) for each in runners]
        self._sessions = [self._session(index, each) for index, each in enumerate(self._runners)]
        self._on_evaluated = on_evaluated
        self._max_poll_s = max_poll_s
        self._max_evaluations = max_evaluations
        self._numbers = itertools.count(1)
        self._errors: list[BaseException] = []

    def run(self) -> Results:
        """Work until the search or the share of this process ends; return the results so far.

        Raises
        ------
        HpdistError
            If the search cannot be led, or evaluations are impossible.
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
        for error in (*self._errors, self._candidate.failure):
            if error is not None:
                raise error
        return Results.read(self._directory.path)

    def _serve(self, index: int) -> None:
        session, runner = self._sessions[index], self._runners[index]
        try:
            runner.start()
            session.run()
        except Exception as error:  # noqa: BLE001 - `run` raises it
            self._errors.append(error)
            self._leave("another evaluation of this process failed")
        finally:
            runner.close()

    def _count(self, payload: Payload) -> None:
        try:
            self._on_evaluated(payload)
        except Exception:  # a failing callback must not stop the search
            logger.exception("%r failed; the search continues", self._on_evaluated)
        if self._max_evaluations is not None and next(self._numbers) >= self._max_evaluations:
            self._leave(f"{self._max_evaluations} evaluations done", at_once=False)

    def _leave(self, why: str, *, at_once: bool = True) -> None:
        for session in self._sessions:
            session.leave(why, at_once=at_once)

    def _session(self, index: int, runner: Runner) -> Session:
        worker_id, incarnation = f"{self._name}-{index}", uuid.uuid4().hex
        channels = itertools.count()
        path, run_id = self._directory.path, safe_run_id(self._directory.path.resolve().name)

        def open_channel() -> Channel:
            name = f"{worker_id}.{next(channels)}"
            leader = self._candidate.election.read_heartbeat
            return FolderChannel(path / MESSAGES, name, run_id, leader, self._max_poll_s)

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
    """Return ``count`` runners, each with a child process unless ``isolation`` is "none"."""
    limits = check_attempt_limits(job_timeout, memory_limit)
    check_enforceable(check_isolation(isolation), limits)
    if isolation == "none":
        return [InlineRunner(objective) for _ in range(count)]
    return [ChildRunner(objective, **limits) for _ in range(count)]

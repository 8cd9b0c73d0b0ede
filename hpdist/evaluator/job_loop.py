"""The thread of an evaluator: one loop over one executor."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from pathlib import Path

from hpdist.cluster.run_host import RunHost
from hpdist.core.dispatch.executor import Executor
from hpdist.core.dispatch.state import DispatchState
from hpdist.core.model.events import ControlRequested, WorkOffered
from hpdist.core.model.limits_and_timing import Timing
from hpdist.core.model.states import Command, FailureKind
from hpdist.core.model.values import Failure, JsonValue
from hpdist.core.run.assembly import Work, make_loop
from hpdist.core.run.finished_jobs import FinishedJob
from hpdist.core.run.submissions import Submissions
from hpdist.evaluator.temporary_directory import temporary_directory

logger = logging.getLogger(__name__)

#: Workers are in this process or monitored by it: a missing heartbeat means nothing.
_IN_PROCESS = Timing(lease_s=1e9)

_EXTRA_S = 5.0  #: waited in addition to the time of grace


class JobLoop:
    """Runs submitted jobs from the first one to `stop` or the end of the time.

    Parameters
    ----------
    make_executor
        Called with a directory for the attempts.
    on_finished
        Called in the thread of the loop with each job that ends.
    """

    def __init__(
        self,
        make_executor: Callable[[Path], Executor],
        on_finished: Callable[[FinishedJob], None],
        grace_s: float,
    ) -> None:
        directory, self._remove = temporary_directory(self)
        self._source = Submissions(on_finished)
        self._grace_s = grace_s
        executor = make_executor(directory)
        timing = executor.service.timing if isinstance(executor, RunHost) else _IN_PROCESS
        work = Work(self._source, DispatchState(timing=timing))
        self._loop = make_loop(work, executor, stay=True, grace_s=grace_s)
        self._inbox = self._loop.inbox
        self._thread = threading.Thread(target=self._serve, name="hpdist-evaluator", daemon=True)
        self._over: Failure | None = None  #: outcome of jobs that are submitted too late
        self.error: BaseException | None = None

    @property
    def over(self) -> bool:
        """True if it evaluates no further job."""
        return self._over is not None

    def start(self) -> None:
        """Start the thread, unless it has started."""
        if self._thread.ident is None:
            self._thread.start()

    def submit(self, job_id: str, arguments: dict[str, JsonValue]) -> None:
        """Queue a job.

        Raises
        ------
        ConfigurationError
            If the arguments are no JSON.
        """
        entry = {"config": arguments, "config_info": {"job_id": job_id}}
        job = self._source.add(job_id, entry, time.time())
        assert job is not None, "ids of jobs are new"
        self._inbox.post([WorkOffered()])
        if self._over is not None:
            self._source.abandon(self._over, time.time())

    def limit(self, seconds: float) -> None:
        """End in ``seconds`` from now; running jobs then have the time of grace."""
        self._inbox.post([ControlRequested(Command.TIME_LIMIT, {"seconds": seconds})])

    def cancel(self, job_ids: list[str], reason: str) -> None:
        """Settle jobs as cancelled, and end the running ones."""
        numbers = [self._source.number_of(job_id) for job_id in job_ids]
        jobs = [number for number in numbers if number is not None]
        self._inbox.post([ControlRequested(Command.CANCEL, {"jobs": jobs, "reason": reason})])

    def stop(self) -> None:
        """Request the end of the loop, without waiting."""
        self._inbox.post([ControlRequested(Command.STOP, {"reason": "closed"})])

    def end(self) -> None:
        """End the loop, and wait until it has ended."""
        self.stop()
        self.join()

    def join(self) -> None:
        """Wait for the end of the loop, if it has started."""
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(self._grace_s + _EXTRA_S)
        else:
            self._remove()

    def _serve(self) -> None:
        late = Failure(FailureKind.CANCELLED, "the evaluator's time was up, or it was closed")
        try:
            self._loop.run()
        except BaseException as error:  # noqa: BLE001 - the top of a thread; `gather` raises it
            self.error = error
            late = Failure(FailureKind.LOST, f"the evaluator failed: {error}")
        finally:
            self._over = late
            self._source.abandon(late, time.time())
            self._remove()


def seconds_left(deadline: float) -> float:
    """Return the seconds until a time of the monotonic clock; inf for never."""
    return math.inf if deadline == math.inf else max(0.0, deadline - time.monotonic())

"""Jobs that a caller submits one by one: a job source without a study."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Collection, Hashable, Sequence
from typing import Any

from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.events import AttemptEnded, AttemptStarted, JobCreated, Record
from hpdist.core.model.json_codec import encode
from hpdist.core.model.payload import Payload
from hpdist.core.model.states import FailureKind
from hpdist.core.model.validation import short_repr
from hpdist.core.model.values import Failure, Job
from hpdist.core.run.finished_jobs import FinishedJob
from hpdist.core.run.user_callbacks import safe_call
from hpdist.core.space.parameters import plain
from hpdist.multi_fidelity import check_budget


class Submissions:
    """Proposes the submitted jobs, in their order.

    Ids are the caller's; internally jobs are numbered. `add`, `number_of` and `abandon` may be
    called from any thread, all other methods in the loop's thread; after `add`, a `WorkOffered`
    wakes the loop.

    Parameters
    ----------
    on_finished
        Called in the loop's thread with each `FinishedJob`.
    """

    done = False

    def __init__(self, on_finished: Callable[[FinishedJob], None]) -> None:
        self._on_finished = on_finished
        self._jobs: dict[int, FinishedJob] = {}
        self._waiting: deque[int] = deque()  #: numbers of the jobs that are not yet created
        self._numbers = itertools.count()
        self._open: dict[Any, int] = {}

    def add(self, id: Any, arguments: dict[str, Any], at: float) -> Job | None:
        """Queue a job; return None if there is an open one of this id.

        Raises
        ------
        ConfigurationError
            If there is no ``config``, the budget is no number, or it is not JSON.
        """
        config = arguments.get("config")
        if not isinstance(config, dict) or not isinstance(id, Hashable):
            raise ConfigurationError(
                f"job {short_repr(id)} needs config=<dict>, and a hashable id; got "
                f"{short_repr(arguments)}",
                do='submit_job((0, 0, 1), config={"x": 0.5}, budget=1)',
            )
        budget = 1.0 if arguments.get("budget") is None else arguments["budget"]
        arguments["budget"] = check_budget("budget", budget)
        arguments["config"] = {name: plain(value) for name, value in config.items()}
        encode({"config": arguments["config"], "config_info": arguments.get("config_info")})
        if id in self._open:
            return None
        number = next(self._numbers)
        self._jobs[number] = FinishedJob(id, arguments, timestamps={"submitted": at})
        self._open[id] = number
        self._waiting.append(number)
        return self._job(number)

    def number_of(self, id: Any) -> int | None:
        """Return the number of the open job that the caller calls ``id``."""
        return self._open.get(id) if isinstance(id, Hashable) else None

    def abandon(self, failure: Failure, at: float) -> None:
        """Settle all open jobs as failed; for when the loop has ended."""
        for number in list(self._jobs):
            self._settle(AttemptEnded(number, 0, "", failure), at)

    # ------------------------------------------------------------------ the job source

    def propose(self) -> JobCreated | None:
        return JobCreated(self._job(self._waiting[0])) if self._waiting else None

    def withdraw(self, job_ids: Collection[int], reason: str, at: float) -> None:
        failure = Failure(FailureKind.CANCELLED, reason)
        for number in [number for number in list(self._waiting) if number in job_ids]:
            self._waiting.remove(number)
            self._settle(AttemptEnded(number, 0, "", failure), at)

    def stops_early(self, job_id: int) -> bool:
        return False

    def retryable(self, job_ids: Sequence[int] | None = None) -> list[int]:
        return []

    def payload(self, job_id: int) -> Payload:
        job = self._jobs[job_id]
        parts = tuple(job.id) if isinstance(job.id, tuple | list) else ()
        triple = [type(part) for part in parts] == [int] * 3
        return Payload(
            job_id,
            parts if triple else (0, 0, job_id),
            job.kwargs["config"],
            job.kwargs["budget"],
            job_id,
            job.kwargs.get("config_info") or {},
        )

    def apply(self, record: Record) -> None:
        if isinstance(record, JobCreated):
            number = self._waiting.popleft()
            assert number == record.job.job_id, "only what was proposed is created"

    def observe(self, fresh: Sequence[tuple[float, Record]]) -> None:
        """Pass results on, once they are recorded."""
        for at, record in fresh:
            if isinstance(record, AttemptStarted):
                self._jobs[record.job_id].timestamps["started"] = at
            elif isinstance(record, AttemptEnded) and record.final:
                self._settle(record, at)

    def _job(self, number: int) -> Job:
        return Job(number, number, self._jobs[number].kwargs["budget"])

    def _settle(self, record: AttemptEnded, at: float) -> None:
        job = self._jobs.pop(record.job_id, None)  # `abandon` may be settling it in another thread
        if job is not None:
            self._open.pop(job.id, None)
            safe_call(self._on_finished, job.finish(record, at))

"""Jobs that a caller hands in one by one: a source without a study."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.events import AttemptEnded, AttemptStarted, JobCreated, Record
from hpdist.core.model.json_codec import encode
from hpdist.core.model.payload import Payload
from hpdist.core.model.validation import short_repr
from hpdist.core.model.values import Failure, Job, Success
from hpdist.core.space.parameters import plain
from hpdist.multi_fidelity import check_budget

logger = logging.getLogger(__name__)


@dataclass
class FinishedJob:
    """A job and what came of it, as callbacks and result loggers get it.

    ``result`` is a dict with ``loss`` and ``info``, or None; ``exception`` then says why, with the
    traceback. ``timestamps`` has ``submitted``, ``started`` and ``finished``, in seconds since 1970
    on the dispatcher's clock. ``ended`` is the record of the attempt that settled it.
    """

    id: Any
    kwargs: dict[str, Any]
    result: dict[str, Any] | None = None
    exception: str | None = None
    timestamps: dict[str, float] = field(default_factory=dict)
    worker_name: str | None = None
    ended: AttemptEnded | None = field(default=None, repr=False, compare=False)


def finish(job: FinishedJob, record: AttemptEnded, at: float) -> FinishedJob:
    """Enter an outcome into ``job``."""
    job.timestamps["finished"] = at
    job.worker_name, job.ended = record.worker_id, record
    outcome = record.outcome
    if isinstance(outcome, Success):
        job.result = {"loss": outcome.loss, "info": outcome.info}
        if outcome.cost is not None:
            job.result["cost"] = outcome.cost
    elif isinstance(outcome, Failure):
        job.exception = "\n".join(
            filter(None, [f"{outcome.kind.value}: {outcome.message}", outcome.traceback])
        )
    return job


def guarded(callback: Callable[[Any], object], value: Any) -> None:
    """Call what the user gave; what it raises is logged, and harms neither the run nor others."""
    try:
        callback(value)
    except Exception:  # the user's code
        logger.exception("%r failed; the search goes on", callback)


class Submissions:
    """A source that proposes nothing itself. Ids are the caller's; inside, jobs are numbered.

    Parameters
    ----------
    on_finished
        Called in the loop's thread with each `FinishedJob`.
    """

    done = False

    def __init__(self, on_finished: Callable[[FinishedJob], None]) -> None:
        self._on_finished = on_finished
        self._jobs: dict[int, FinishedJob] = {}
        self._numbers = itertools.count()
        self._open: dict[Any, int] = {}

    def add(self, id: Any, arguments: dict[str, Any], at: float) -> Job | None:
        """Take a job in; None if one of this id is open already.

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
        job = Job(number, number, arguments["budget"])
        self._jobs[number] = FinishedJob(id, arguments, timestamps={"submitted": at})
        self._open[id] = number
        return job

    def number_of(self, id: Any) -> int | None:
        """The number of the open job that the caller calls ``id``."""
        return self._open.get(id) if isinstance(id, Hashable) else None

    def abandon(self, failure: Failure, at: float) -> None:
        """Settle all that is open, when the loop has ended; from any thread."""
        for number in list(self._jobs):
            job = self._jobs.pop(number, None)  # by whoever comes first
            if job is not None:
                self._open.pop(job.id, None)
                record = AttemptEnded(number, 0, "", failure)
                guarded(self._on_finished, finish(job, record, at))

    def propose(self) -> None:
        return None

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
            assert record.job.job_id in self._jobs

    def observe(self, fresh: Sequence[tuple[float, Record]]) -> None:
        """Pass results on, once they are recorded."""
        for at, record in fresh:
            if isinstance(record, AttemptStarted):
                self._jobs[record.job_id].timestamps["started"] = at
            elif isinstance(record, AttemptEnded) and record.final:
                job = self._jobs.pop(record.job_id)
                self._open.pop(job.id, None)
                guarded(self._on_finished, finish(job, record, at))

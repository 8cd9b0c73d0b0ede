"""A job of an evaluator and its outcome."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from hpdist.core.model.states import FailureKind, JobState
from hpdist.core.model.values import Failure, JsonValue, Outcome
from hpdist.evaluator.profiling import EXCEEDED
from hpdist.evaluator.run_function import FAIL_RETURN_VALUE

Objective = float | tuple[float, ...] | str


@dataclass
class Job:
    """A call of the run function.

    Attributes
    ----------
    id
        ``"<search>.<number>"``; given by the evaluator.
    args
        The parameters.
    status
        Its state.
    objective
        A number or a tuple of numbers, larger is better; for a failure text that starts with "F";
        None as long as the job is open.
    failure
        The reason if there is no objective.
    metadata
        Further values that the function returned, and the times ``timestamp_submit``,
        ``timestamp_start``, ``timestamp_end`` and ``timestamp_gather``, in seconds since the
        evaluator was made.
    """

    args: dict[str, JsonValue]
    id: str = ""
    status: JobState = JobState.QUEUED
    objective: Objective | None = None
    failure: Failure | None = None
    metadata: dict[str, JsonValue] = field(default_factory=dict)
    ended: Future[None] = field(default_factory=Future, repr=False, compare=False)

    @property
    def job_status(self) -> str:
        """ "completed", why it failed ("exception", "crash", "cancelled", ...), or its state."""
        return self.status.value if self.failure is None else self.failure.kind.value

    def settle(self, outcome: Outcome) -> None:
        """Set the outcome."""
        if not isinstance(outcome, Failure):
            objective = outcome.info["objective"]
            self.metadata.update(outcome.info["metadata"])
            if not isinstance(objective, str):
                self.status = JobState.COMPLETED
                self.objective = tuple(objective) if isinstance(objective, list) else outcome.loss
                return
            kind = FailureKind.MEMORY if objective == EXCEEDED else FailureKind.EXCEPTION
            outcome = Failure(kind, f"the run function returned {objective!r}")
            self.objective = objective
        else:
            self.objective = f"{FAIL_RETURN_VALUE}_{outcome.kind.value}"
        self.failure = outcome
        cancelled = outcome.kind is FailureKind.CANCELLED
        self.status = JobState.CANCELLED if cancelled else JobState.FAILED

    def to_json(self) -> dict[str, JsonValue]:
        """Return the job as JSON data for `from_json`."""
        failure = self.failure
        return {
            "job_id": self.id,
            "args": self.args,
            "status": self.status.value,
            "objective": list(self.objective)
            if isinstance(self.objective, tuple)
            else self.objective,
            "failure": None if failure is None else [failure.kind.value, failure.message],
            "metadata": self.metadata,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Job:
        """Make the job that `to_json` described.

        Raises
        ------
        ValueError, KeyError, TypeError
            If the data describes no job.
        """
        objective, failure = data["objective"], data["failure"]
        job = cls(
            dict(data["args"]),
            str(data["job_id"]),
            JobState(data["status"]),
            tuple(objective) if isinstance(objective, list) else objective,
            None if failure is None else Failure(FailureKind(failure[0]), failure[1]),
            dict(data["metadata"]),
        )
        job.ended.set_result(None)
        return job

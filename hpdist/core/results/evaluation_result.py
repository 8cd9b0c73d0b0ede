"""Results of single evaluations and incumbents, as users get them."""

from __future__ import annotations

from dataclasses import dataclass

from hpdist.core.model.states import FailureKind, JobState
from hpdist.core.model.validation import to_real
from hpdist.core.model.values import ConfigId, JsonValue


@dataclass(frozen=True)
class EvaluationResult:
    """The state and the result of one evaluation.

    ``loss`` has the user's sign. ``submitted``, ``started`` and ``ended`` are seconds since the
    start of the run, on the clock of the process that kept the journal; ``started`` is the last
    attempt's. ``seconds`` is that attempt's duration on its worker's clock. Unknown values
    are None.
    """

    job_id: int
    trial_id: int
    config_id: ConfigId
    config: dict[str, JsonValue]
    config_info: dict[str, JsonValue]
    bracket: int
    rung: int
    budget: float
    submitted: float
    retry_of: int | None = None
    state: JobState = JobState.QUEUED
    attempts: int = 0
    worker: str | None = None
    started: float | None = None
    ended: float | None = None
    seconds: float | None = None
    loss: float | None = None
    cost: float | None = None
    info: JsonValue = None
    failure: FailureKind | None = None
    message: str = ""
    traceback: str = ""
    output: str = ""

    @property
    def informative(self) -> bool:
        """Whether an optimizer learns from it: it has a loss, or a failure of its configuration."""
        return self.loss is not None or (self.failure is not None and self.failure.counts)

    def objective(self, name: str) -> float | None:
        """Return the value of an objective by its name; None where there is none."""
        if name == "loss" or self.loss is None:
            return self.loss
        info = self.info if isinstance(self.info, dict) else {}
        return to_real(info.get(name))


@dataclass(frozen=True)
class Incumbent:
    """The best evaluation at some time: the best loss at the largest budget that has a success.

    ``loss`` has the user's sign. ``at`` is in seconds since the start of the run; ``evaluations``
    and ``cost`` are the number of evaluations that had succeeded or failed by then, and their
    total cost.
    """

    job_id: int
    trial_id: int
    config_id: ConfigId
    config: dict[str, JsonValue]
    budget: float
    loss: float
    info: JsonValue
    at: float
    evaluations: int
    cost: float

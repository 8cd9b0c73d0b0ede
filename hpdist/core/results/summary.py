"""Where a run stands, folded from its records one by one. Pure, and cheap enough for each record.

The progress line, ``hpdist status`` and the results all take their numbers from here.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import asdict, dataclass, field
from typing import Any

from hpdist.core.model.events import (
    AttemptEnded,
    AttemptStarted,
    Controlled,
    JobCreated,
    Record,
    RunCreated,
    RunEnded,
    RunResumed,
    WorkerChanged,
)
from hpdist.core.model.values import (
    ConfigId,
    Failure,
    FailureKind,
    Job,
    JobState,
    JsonValue,
    Success,
    Trial,
    WorkerInfo,
    settled_state,
)

RECENT = 100
"""How many results the rate is taken over."""


@dataclass(frozen=True)
class Incumbent:
    """The best evaluation at some time: of the largest budget that has a success, the best loss.

    ``loss`` has the user's sign. ``at`` is in seconds since the run began; ``evaluations`` and
    ``cost`` say how many had succeeded or failed by then, and what they had cost together.
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


@dataclass
class WorkerView:
    """A worker that is or was part of the run.

    ``state`` is "joined", "quarantined", "left" or "lost"; ``holds`` maps the jobs in its hands
    to attempts; ``done`` counts the jobs it settled.
    """

    info: WorkerInfo
    state: str
    holds: dict[int, int] = field(default_factory=dict)
    done: int = 0


@dataclass
class RungView:
    """The evaluations of one rung, counted by state."""

    budget: float
    counts: Counter[JobState] = field(default_factory=Counter)

    @property
    def created(self) -> int:
        return sum(self.counts.values())


class Summary:
    """A run in numbers.

    Attributes
    ----------
    run
        The run's header; None before it.
    counts, failures
        Jobs by state, and failed ones by kind.
    workers, rungs
        By worker id, and by (bracket, rung).
    incumbents
        How the incumbent changed, oldest first.
    total_cost
        Sum of the costs of the successes, or of their budgets where no cost was told.
    first_at, started_at, last_at
        Wall time in seconds since 1970 of the first record, of the first since the run was last
        taken up, and of the last; None without records.
    ended
        How the run ended; None while it goes on.
    paused
        Whether an operator asked it to pause.
    """

    def __init__(self) -> None:
        self.run: RunCreated | None = None
        self.counts: Counter[JobState] = Counter()
        self.failures: Counter[FailureKind] = Counter()
        self.workers: dict[str, WorkerView] = {}
        self.rungs: dict[tuple[int, int], RungView] = {}
        self.incumbents: list[Incumbent] = []
        self.total_cost = 0.0
        self.first_at: float | None = None
        self.started_at: float | None = None
        self.last_at: float | None = None
        self.ended: RunEnded | None = None
        self.paused = False
        self._jobs: dict[int, Job] = {}
        self._states: dict[int, JobState] = {}
        self._trials: dict[int, Trial] = {}
        self._rank: tuple[float, float, int] | None = None
        self._recent: deque[float] = deque(maxlen=RECENT)

    # ------------------------------------------------------------------ what one may ask

    @property
    def best(self) -> Incumbent | None:
        """The incumbent; None while nothing has succeeded."""
        return self.incumbents[-1] if self.incumbents else None

    @property
    def direction(self) -> str:
        """``minimize`` or ``maximize``."""
        return self.run.direction if self.run else "minimize"

    @property
    def evaluations(self) -> int:
        """How many evaluations have succeeded or failed."""
        return self.counts[JobState.COMPLETED] + self.counts[JobState.FAILED]

    def elapsed(self, now: float) -> float:
        """Seconds since the run was last taken up, until it ended or else until ``now``."""
        if self.started_at is None or self.last_at is None:
            return 0.0
        return max(0.0, (self.last_at if self.ended else now) - self.started_at)

    def rate(self, now: float) -> float:
        """Evaluations a second lately: over the last `RECENT` ones, or since the run began."""
        if self.started_at is None:
            return 0.0
        full = len(self._recent) == RECENT
        seconds = now - (self._recent[0] if full else self.started_at)
        return (len(self._recent) - full) / seconds if seconds > 0 else 0.0

    def to_json(self) -> dict[str, JsonValue]:
        """Return it all as plain JSON data."""
        return {
            "run_id": self.run.run_id if self.run else None,
            "direction": self.direction,
            "counts": {state.value: self.counts[state] for state in JobState},
            "failures": {kind.value: n for kind, n in self.failures.items() if n},
            "workers": [_worker_json(worker) for worker in self.workers.values()],
            "rungs": [_rung_json(*place, rung) for place, rung in sorted(self.rungs.items())],
            "incumbents": [_incumbent_json(incumbent) for incumbent in self.incumbents],
            "evaluations": self.evaluations,
            "total_cost": self.total_cost,
            "first_at": self.first_at,
            "started_at": self.started_at,
            "last_at": self.last_at,
            "ended": asdict(self.ended) if self.ended else None,
            "paused": self.paused,
        }

    # ------------------------------------------------------------------ what happened

    def apply(self, at: float, record: Record) -> None:
        """Take notice of a record, made at ``at`` (wall seconds since 1970)."""
        self.last_at = at
        if self.first_at is None:
            self.first_at = self.started_at = at
        match record:
            case RunCreated():
                self.run = record
            case RunResumed():
                self.started_at, self.ended = at, None
                self._recent.clear()
            case RunEnded():
                self.ended = record
            case JobCreated():
                self._created(record)
            case AttemptStarted():
                self._started(record)
            case AttemptEnded():
                self._attempt_ended(at, record)
            case WorkerChanged():
                self._worker_changed(record)
            case Controlled():
                self._controlled(record)

    def _created(self, record: JobCreated) -> None:
        job = record.job
        if record.trial is not None:
            self._trials[job.trial_id] = record.trial
        self._jobs[job.job_id] = job
        self.rungs.setdefault((job.bracket, job.rung), RungView(job.budget))
        self._move(job, JobState.QUEUED)

    def _started(self, record: AttemptStarted) -> None:
        self._move(self._jobs[record.job_id], JobState.RUNNING)
        if worker := self.workers.get(record.worker_id):
            worker.holds[record.job_id] = record.attempt

    def _attempt_ended(self, at: float, record: AttemptEnded) -> None:
        worker = self.workers.get(record.worker_id)
        if worker:
            worker.holds.pop(record.job_id, None)
            worker.done += record.final
        job, outcome = self._jobs[record.job_id], record.outcome
        if not record.final:
            self._move(job, JobState.QUEUED)
            return
        state = settled_state(outcome)
        self._move(job, state)
        if state is not JobState.CANCELLED:
            self._recent.append(at)
        if state is JobState.FAILED and isinstance(outcome, Failure):
            self.failures[outcome.kind] += 1
        if isinstance(outcome, Success):
            self._succeeded(at, job, outcome)

    def _move(self, job: Job, state: JobState) -> None:
        rung = self.rungs[job.bracket, job.rung]
        before = self._states.get(job.job_id)
        for counts in (self.counts, rung.counts):
            counts[state] += 1
            if before is not None:
                counts[before] -= 1
        self._states[job.job_id] = state

    def _succeeded(self, at: float, job: Job, outcome: Success) -> None:
        self.total_cost += job.budget if outcome.cost is None else outcome.cost
        signed = outcome.loss if self.direction == "minimize" else -outcome.loss
        rank = (-job.budget, signed, job.job_id)
        if self._rank is not None and rank > self._rank:
            return
        self._rank = rank
        trial = self._trials.get(job.trial_id) or Trial(job.trial_id, (0, 0, job.trial_id), {})
        self.incumbents.append(
            Incumbent(
                job.job_id,
                job.trial_id,
                trial.config_id,
                dict(trial.config),
                job.budget,
                outcome.loss,
                outcome.info,
                at - (self.first_at or 0.0),
                self.evaluations,
                self.total_cost,
            )
        )

    def _worker_changed(self, record: WorkerChanged) -> None:
        worker_id = record.worker.worker_id
        known = self.workers.setdefault(worker_id, WorkerView(record.worker, record.state))
        returned = record.state == "returned"  # after a restart, with what it holds
        known.info, known.state = record.worker, "joined" if returned else record.state
        if record.state not in ("quarantined", "returned"):
            known.holds.clear()

    def _controlled(self, record: Controlled) -> None:
        if record.command in ("pause", "resume"):
            self.paused = record.command == "pause"
        elif record.command in ("retry", "extend"):
            self.ended = None


def _incumbent_json(incumbent: Incumbent) -> dict[str, Any]:
    return asdict(incumbent) | {"config_id": list(incumbent.config_id)}


def _worker_json(worker: WorkerView) -> dict[str, Any]:
    holds = [list(held) for held in worker.holds.items()]
    return asdict(worker.info) | {"state": worker.state, "holds": holds, "done": worker.done}


def _rung_json(bracket: int, rung: int, view: RungView) -> dict[str, Any]:
    counts = {state.value: view.counts[state] for state in JobState}
    return {
        "bracket": bracket,
        "rung": rung,
        "budget": view.budget,
        "created": view.created,
    } | counts

"""The trials and jobs of a search, with their outcomes, as the records made them. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from hpdist.core.model.errors import StateError
from hpdist.core.model.events import AttemptEnded, JobCreated
from hpdist.core.model.limits_and_timing import Limits
from hpdist.core.model.payload import Payload, PreviousAttempt
from hpdist.core.model.rank_and_cost import Rank, cost_of, rank_of
from hpdist.core.model.states import JobState
from hpdist.core.model.values import Failure, Job, Outcome, Success, Trial, settled_state
from hpdist.optimizers import Pending


@dataclass
class JobRow:
    """A job and its outcome; ``attempt`` is the number of the attempt that settled the job."""

    job: Job
    outcome: Outcome | None = None
    attempt: int = 0

    @property
    def state(self) -> JobState:
        """The state that the outcome means; a job without one is queued."""
        return JobState.QUEUED if self.outcome is None else settled_state(self.outcome)


class TrialTable:
    """Trials, jobs, total cost and the incumbent.

    Parameters
    ----------
    seed
        The run's seed, from which the seeds of objectives are derived.
    sign
        1 where losses are minimized, -1 where they are maximized.
    """

    def __init__(self, seed: int, sign: float) -> None:
        self.seed, self.sign = seed, sign
        self.trials: list[Trial] = []
        self.jobs: list[JobRow] = []
        self.pending: dict[int, Pending] = {}  #: the open jobs
        self.total_cost = 0.0
        self.best: JobRow | None = None
        self._best_rank: Rank | None = None
        self._successes: dict[int, list[tuple[float, int]]] = {}

    def created(self, record: JobCreated) -> None:
        """Add a job, and its trial if that is new."""
        job, trial = record.job, record.trial
        if job.job_id != len(self.jobs):
            raise StateError(f"{job} follows {len(self.jobs)} jobs")
        if trial is not None:
            if trial.trial_id != len(self.trials):
                raise StateError(f"{trial} follows {len(self.trials)} trials")
            self.trials.append(trial)
        self.jobs.append(JobRow(job))
        config = self.trials[job.trial_id].config
        self.pending[job.job_id] = Pending(job.trial_id, config, job.budget)

    def settled(self, record: AttemptEnded) -> JobRow:
        """Set the outcome of a job."""
        if record.job_id not in self.pending or record.outcome is None:
            raise StateError(f"{record} settles a job that is not open")
        entry = self.jobs[record.job_id]
        entry.outcome, entry.attempt = record.outcome, record.attempt
        del self.pending[record.job_id]
        if isinstance(record.outcome, Success):
            self._succeeded(entry, record.outcome)
        return entry

    def _succeeded(self, entry: JobRow, outcome: Success) -> None:
        job = entry.job
        self.total_cost += cost_of(job, outcome)
        self._successes.setdefault(job.trial_id, []).append((job.budget, entry.attempt))
        rank = rank_of(job.budget, outcome.loss, job.job_id, self.sign)
        if self._best_rank is None or rank < self._best_rank:
            self.best, self._best_rank = entry, rank

    def limit_reached(self, limits: Limits) -> bool:
        """Return whether the number of jobs or their cost forbids further jobs."""
        if limits.n_evaluations is not None and len(self.jobs) >= limits.n_evaluations:
            return True
        return limits.max_cost is not None and self.total_cost >= limits.max_cost

    def reached(self, target_loss: float, budget: float) -> bool:
        """Whether the incumbent, evaluated at ``budget`` or more, is as good as the target."""
        if self.best is None or self.best.job.budget < budget:
            return False
        assert isinstance(self.best.outcome, Success)
        return self.sign * self.best.outcome.loss <= self.sign * target_loss

    def payload(self, job_id: int, objectives: tuple[str, ...] = ("loss",)) -> Payload:
        """Return what a worker needs to know to evaluate a job."""
        job = self.jobs[job_id].job
        trial = self.trials[job.trial_id]
        lower = [done for done in self._successes.get(job.trial_id, ()) if done[0] < job.budget]
        return Payload(
            trial.trial_id,
            trial.config_id,
            trial.config,
            job.budget,
            self.trial_seed(trial.trial_id),
            trial.config_info,
            PreviousAttempt(*max(lower)) if lower else None,
            objectives,
        )

    def trial_seed(self, trial_id: int) -> int:
        """Return the objective's seed: one for all budgets and attempts of a trial."""
        digest = hashlib.blake2b(f"{self.seed}/{trial_id}".encode(), digest_size=4).digest()
        return int.from_bytes(digest, "big")

    def retryable(self, job_ids: Sequence[int] | None, waiting: Sequence[int]) -> list[int]:
        """Return which of these jobs (None: all) failed and have no retry yet."""
        again = {entry.job.retry_of for entry in self.jobs} | set(waiting)
        chosen = range(len(self.jobs)) if job_ids is None else job_ids
        return [
            job_id
            for job_id in chosen
            if 0 <= job_id < len(self.jobs)
            and isinstance(self.jobs[job_id].outcome, Failure)
            and job_id not in again
        ]

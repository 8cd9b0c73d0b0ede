"""The synchronous bracket: trials are promoted when all results of their rung are known."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hpdist.core.model.errors import StateError
from hpdist.core.model.values import Job
from hpdist.multi_fidelity.base import NewTrial, Promote, Proposal


class HalvingBracket:
    """A ladder of rungs, in which the best trials of each rung are evaluated at the next budget.

    No trial is promoted before all evaluations of a rung are finished. They are ranked by
    ``(loss, trial_id)``; a failed one is never promoted, so a rung is smaller than planned if
    the one below has too few successes.

    A failed evaluation may be retried while nothing of the next rung has been started: the
    ranking waits for it. This reopens a bracket that was finished because all had failed.
    Later retries change nothing.

    Parameters
    ----------
    num_configs, budgets
        One entry a rung, lowest first.
    replace_failed
        Whether another configuration is started for one that fails in the lowest rung, so that as
        many as planned compete; at most as many as were planned are replaced.
    """

    def __init__(
        self,
        num_configs: Sequence[int],
        budgets: Sequence[float],
        *,
        replace_failed: bool = False,
    ) -> None:
        self._sizes = tuple(num_configs)
        self._budgets = tuple(budgets)
        self._rung = 0  #: the highest rung in which an evaluation was started
        self._unstarted = self._sizes[0]  #: new trials that are still to be proposed
        self._replaceable = self._sizes[0] if replace_failed else 0
        self._replaced: set[int] = set()
        self._queue: list[int] = []  #: trials still to be started in this rung, best last
        self._running: set[int] = set()
        self._losses: dict[int, float] = {}
        self._promotable: list[int] = []  #: trials of this rung to promote, best last

    def propose(self) -> Proposal | None:
        if self._unstarted:
            return NewTrial(self._budgets[0])
        if self._queue:
            return Promote(self._queue[-1], self._budgets[self._rung], self._rung)
        if self._promotable:
            above = self._rung + 1
            return Promote(self._promotable[-1], self._budgets[above], above)
        return None

    def started(self, job: Job) -> None:
        if job.rung < self._rung:
            return
        if job.trial_id in self._losses and job.rung == self._rung:
            self._promotable = []
        else:
            self._start(job)
        self._running.add(job.trial_id)

    def finished(self, job: Job, loss: float) -> None:
        if job.rung < self._rung:
            return
        known = job.trial_id in self._running or job.trial_id in self._losses
        if job.rung > self._rung or not known:
            raise StateError(f"{job} is finished, but was never started in this bracket")
        self._running.discard(job.trial_id)
        self._losses[job.trial_id] = loss
        if job.rung == 0 and loss == math.inf:
            self._replace(job.trial_id)
        if not (self._unstarted or self._queue or self._running):
            self._promotable = self._rank()

    def _replace(self, trial_id: int) -> None:
        """Propose another configuration for a failed one, once for each."""
        if self._replaceable and trial_id not in self._replaced:
            self._replaceable -= 1
            self._replaced.add(trial_id)
            self._unstarted += 1
            self._promotable = []

    def no_more_trials(self) -> None:
        """Close the lowest rung as it is; those above shrink in proportion, to one at least."""
        full, started = self._sizes[0], self._sizes[0] - self._unstarted
        self._replaceable = 0
        if started < full:
            self._sizes = (started, *(max(1, size * started // full) for size in self._sizes[1:]))
            self._unstarted = 0
            if not self._running:
                self._promotable = self._rank()

    def promotes_from(self, rung: int) -> bool:
        """Return whether there is a rung above."""
        return rung + 1 < len(self._sizes)

    @property
    def is_finished(self) -> bool:
        return not (self._unstarted or self._queue or self._running or self._promotable)

    def _start(self, job: Job) -> None:
        """Take the proposal that became ``job`` out of the queue."""
        proposal = self.propose()
        if not _matches(job, proposal):
            raise StateError(f"{job} was started, but {proposal} was proposed")
        if job.rung > self._rung:
            self._rung += 1
            self._queue, self._promotable = self._promotable, []
            self._losses = {}
        if self._queue:
            self._queue.pop()
        else:
            self._unstarted -= 1

    def _rank(self) -> list[int]:
        """Return the trials to be promoted, best last."""
        if self._rung + 1 == len(self._sizes):
            return []
        ranked = sorted((loss, trial) for trial, loss in self._losses.items() if loss < math.inf)
        return [trial for _, trial in ranked[: self._sizes[self._rung + 1]]][::-1]


def _matches(job: Job, proposal: Proposal | None) -> bool:
    """Return whether ``job`` carries out ``proposal``."""
    if isinstance(proposal, Promote) and job.trial_id != proposal.trial_id:
        return False
    return proposal is not None and job.rung == proposal.rung

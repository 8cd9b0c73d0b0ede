"""Asynchronous successive halving: trials are promoted by the results so far, without waiting."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from typing import Any

from hpdist.core.model.errors import ConfigurationError, StateError
from hpdist.core.model.validation import check_whole
from hpdist.core.model.values import Job, JsonValue
from hpdist.multi_fidelity.base import NewTrial, Promote, Proposal, Rung
from hpdist.multi_fidelity.budgets import budget_ladder, check_eta, exact
from hpdist.multi_fidelity.cycle import call_text, check_iteration, rung_table


class Asha:
    """One endless bracket, ended by the limits of the search (trials, cost, time) only.

    Parameters
    ----------
    min_budget, max_budget
        The budgets are ``max_budget / eta**k``, down to ``min_budget``.
    eta
        A configuration is promoted when it is among the best ``1 / eta`` of its rung so far.

    References
    ----------
    Li, Jamieson, Rostamizadeh, Gonina, Ben-tzur, Hardt, Recht and Talwalkar, "A system for
    massively parallel hyperparameter tuning", MLSys 2020.
    """

    def __init__(self, min_budget: float, max_budget: float, eta: float = 3) -> None:
        self._budgets = budget_ladder(min_budget, max_budget, eta)
        self._eta = check_eta(eta)
        self._range = float(min_budget), float(max_budget)

    @property
    def budgets(self) -> tuple[float, ...]:
        return self._budgets

    @property
    def default_iterations(self) -> int | None:
        return None

    def get_next_iteration(self, iteration: int, **iteration_kwargs: Any) -> AshaBracket:
        """Return the only bracket; raises `ConfigurationError` when asked for a second one."""
        check_iteration(self, iteration, iteration_kwargs)
        if iteration > 0:
            raise ConfigurationError(
                f"Asha has one iteration, which never ends; there is no iteration {iteration}",
                do="limit the search by n_trials, n_evaluations, max_cost or time_limit",
            )
        return AshaBracket(self._budgets, self._eta)

    def plan(self, n_iterations: int) -> list[Rung]:
        """Raise `ConfigurationError`: the evaluations depend on the order of the results."""
        check_whole("n_iterations", n_iterations, minimum=0)
        raise ConfigurationError(
            "Asha cannot be planned: it continues until a limit is reached",
            do="limit the search by n_trials, n_evaluations, max_cost or time_limit",
        )

    def num_all_configs(self, n_iterations: int) -> int:
        """Raise `ConfigurationError`, as `plan` does."""
        return len(self.plan(n_iterations))

    def get_table(self) -> Any:
        """Return a DataFrame of the rungs at the time when a trial first reaches the highest."""
        top = len(self._budgets) - 1
        return rung_table(
            [
                Rung(0, rung, math.ceil(exact(self._eta) ** (top - rung)), budget)
                for rung, budget in enumerate(self._budgets)
            ]
        )

    def describe(self) -> dict[str, JsonValue]:
        return {
            "name": "Asha",
            "min_budget": self._range[0],
            "max_budget": self._range[1],
            "eta": self._eta,
        }

    def __repr__(self) -> str:
        return call_text(self.describe())


class AshaBracket:
    """Proposes a promotion if one is possible, from the highest rung down, else a new trial.

    A failed evaluation counts as one of its rung, and is never promoted. It may be retried at
    any time; a second result after a success changes nothing. After n evaluations `propose`
    costs O(log n) a rung.
    """

    is_finished = False

    def __init__(self, budgets: tuple[float, ...], eta: float) -> None:
        self._budgets = budgets
        self._eta = exact(eta)
        self._rungs = [_RungRanking() for _ in budgets]

    def propose(self) -> Proposal | None:
        for rung in reversed(range(len(self._rungs) - 1)):
            trial_id = self._rungs[rung].promotable(self._eta.numerator, self._eta.denominator)
            if trial_id is not None:
                return Promote(trial_id, self._budgets[rung + 1], rung + 1)
        return NewTrial(self._budgets[0])

    def no_more_trials(self) -> None:
        """Do nothing: no rung waits for trials, and the limit may be raised later."""

    def started(self, job: Job) -> None:
        if job.trial_id in self._rungs[job.rung].started:
            return
        if job.rung > 0:
            self._rungs[job.rung - 1].promote(job)
        self._rungs[job.rung].started.add(job.trial_id)

    def finished(self, job: Job, loss: float) -> None:
        if job.trial_id not in self._rungs[job.rung].started:
            raise StateError(f"{job} is finished, but was never started in this bracket")
        self._rungs[job.rung].record(job.trial_id, loss)


class _RungRanking:
    """The results of one rung, best first, and those of them that are not promoted yet."""

    def __init__(self) -> None:
        self.started: set[int] = set()
        self._losses: dict[int, float] = {}
        self._ranked: list[tuple[float, int]] = []
        self._unpromoted: list[tuple[float, int]] = []

    def record(self, trial_id: int, loss: float) -> None:
        """Add a result; it replaces a failure, and is ignored after a success."""
        before = self._losses.get(trial_id)
        if before is not None:
            if before < math.inf:
                return
            self._ranked.remove((before, trial_id))
        self._losses[trial_id] = loss
        insort(self._ranked, (loss, trial_id))
        if loss < math.inf:
            insort(self._unpromoted, (loss, trial_id))

    def promotable(self, numerator: int, denominator: int) -> int | None:
        """Return the best unpromoted trial if it is in the top ``denominator / numerator``."""
        if not self._unpromoted:
            return None
        best = self._unpromoted[0]
        rank = bisect_left(self._ranked, best) + 1
        return best[1] if rank * numerator <= len(self._ranked) * denominator else None

    def promote(self, job: Job) -> None:
        """Record that the trial of ``job`` was promoted."""
        entry = (self._losses.get(job.trial_id, math.inf), job.trial_id)
        index = bisect_left(self._unpromoted, entry)
        if self._unpromoted[index : index + 1] != [entry]:
            raise StateError(f"{job} was started, but trial {job.trial_id} cannot be promoted")
        del self._unpromoted[index]

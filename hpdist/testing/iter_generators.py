"""The contract of an iteration generator, as tests: inherit the class and define `make`.

>>> class TestMine(IterGeneratorContract):
...     def make(self):
...         return Mine(min_budget=1, max_budget=9)
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

import numpy as np

from hpdist.core.model.values import Job
from hpdist.multi_fidelity.base import Bracket, IterGenerator, Promote, Proposal

SEEDS = range(12)
FAILURE_RATES = (0.0, 0.3, 1.0)
MAX_JOBS = 200
"""Jobs after which an endless bracket is stopped."""


@dataclass
class History:
    """The jobs of one bracket in the order of their start, their losses, and all proposals."""

    jobs: list[Job] = field(default_factory=list)
    losses: dict[int, float] = field(default_factory=dict)  #: by job_id
    proposals: list[Proposal | None] = field(default_factory=list)

    def of_trial(self, trial_id: int) -> list[Job]:
        return [job for job in self.jobs if job.trial_id == trial_id]


def play(bracket: Bracket, seed: int, failure_rate: float = 0.0, workers: int = 4) -> History:
    """Run ``bracket`` to its end, or `MAX_JOBS` jobs, with results in random order.

    Asserts that `propose` changes nothing and that the bracket never stalls.

    Parameters
    ----------
    bracket
        A new bracket.
    seed
        Decides the losses, the failures and the order of the results.
    failure_rate
        Share of the jobs that fail.
    workers
        Jobs that run at once.

    Returns
    -------
    history
        The jobs, losses and proposals.
    """
    rng = np.random.default_rng(seed)
    history, trial_ids = History(), count()
    running: list[Job] = []
    while True:
        proposal = bracket.propose()
        assert bracket.propose() == proposal, "propose() twice gives different answers"
        history.proposals.append(proposal)
        full = len(running) == workers or len(history.jobs) == MAX_JOBS
        if proposal is not None and not full and (not running or rng.random() < 0.7):
            running.append(_start(bracket, proposal, history, trial_ids))
        elif running:
            job = running.pop(int(rng.integers(len(running))))
            failed = rng.random() < failure_rate
            history.losses[job.job_id] = math.inf if failed else float(rng.integers(5))
            bracket.finished(job, history.losses[job.job_id])
        else:
            ended = bracket.is_finished or len(history.jobs) == MAX_JOBS
            assert ended, "nothing is running, and the bracket neither proposes nor is finished"
            return history


def _start(bracket: Bracket, proposal: Proposal, history: History, trial_ids: Iterator[int]) -> Job:
    assert not bracket.is_finished, "a finished bracket proposes something"
    trial_id = proposal.trial_id if isinstance(proposal, Promote) else next(trial_ids)
    job = Job(len(history.jobs), trial_id, proposal.budget, rung=proposal.rung)
    history.jobs.append(job)
    bracket.started(job)
    return job


class IterGeneratorContract:
    """Tests for pytest; a subclass whose name starts with ``Test`` defines `make`."""

    def make(self) -> IterGenerator:
        """Return a new iteration generator, equal in each call."""
        raise NotImplementedError

    def histories(self) -> Iterator[History]:
        """Yield the histories of the first iterations, with increasing shares of failures."""
        for seed in SEEDS:
            generator = self.make()
            bracket = generator.get_next_iteration(seed % (generator.default_iterations or 1))
            yield play(bracket, seed, FAILURE_RATES[seed % 3], workers=1 + seed % 7)

    def test_it_has_what_the_port_asks_for(self) -> None:
        generator = self.make()
        assert isinstance(generator, IterGenerator)
        assert isinstance(generator.get_next_iteration(0), Bracket)

    def test_budgets_are_announced_and_rise(self) -> None:
        budgets = self.make().budgets
        assert list(budgets) == sorted(set(budgets))
        for history in self.histories():
            assert {job.budget for job in history.jobs} <= set(budgets)

    def test_new_trials_start_at_rung_0_and_are_promoted_one_rung_at_a_time(self) -> None:
        for history in self.histories():
            for trial_id in {job.trial_id for job in history.jobs}:
                jobs = history.of_trial(trial_id)
                assert [job.rung for job in jobs] == list(range(len(jobs)))

    def test_budgets_rise_within_a_trial(self) -> None:
        for history in self.histories():
            for trial_id in {job.trial_id for job in history.jobs}:
                budgets = [job.budget for job in history.of_trial(trial_id)]
                assert budgets == sorted(set(budgets))

    def test_failures_are_never_promoted(self) -> None:
        for history in self.histories():
            for trial_id in {job.trial_id for job in history.jobs}:
                losses = [history.losses[job.job_id] for job in history.of_trial(trial_id)]
                assert all(loss < math.inf for loss in losses[:-1])

    def test_equal_histories_give_equal_proposals(self) -> None:
        first, second = ([h.proposals for h in self.histories()] for _ in range(2))
        assert first == second

    def test_brackets_share_no_state(self) -> None:
        generator = self.make()
        played = play(generator.get_next_iteration(0), seed=1)
        assert play(generator.get_next_iteration(0), seed=1) == played

    def test_a_retried_failure_leaves_no_bracket_waiting(self) -> None:
        bracket = self.make().get_next_iteration(0)
        proposal = bracket.propose()
        assert proposal is not None
        job = Job(0, 0, proposal.budget, rung=proposal.rung)
        bracket.started(job)
        bracket.finished(job, math.inf)
        bracket.finished(job, 0.5)
        if not bracket.is_finished:
            assert bracket.propose() is not None

    def test_the_description_is_json_and_equal_for_equal_generators(self) -> None:
        description = self.make().describe()
        assert json.loads(json.dumps(description, allow_nan=False)) == description
        assert isinstance(description["name"], str)
        assert self.make().describe() == description

    def test_the_plan_is_what_happens_when_nothing_fails(self) -> None:
        generator = self.make()
        if generator.default_iterations is None:
            return
        for iteration in range(min(generator.default_iterations, 10)):
            plan = [rung for rung in generator.plan(iteration + 1) if rung.iteration == iteration]
            history = play(generator.get_next_iteration(iteration), seed=iteration)
            happened = Counter((job.rung, job.budget) for job in history.jobs)
            assert happened == {(rung.rung, rung.budget): rung.num_configs for rung in plan}

    def test_the_number_of_evaluations_is_that_of_the_plan(self) -> None:
        generator = self.make()
        for n in range(7 if generator.default_iterations is not None else 0):
            planned = sum(rung.num_configs for rung in generator.plan(n))
            assert generator.num_all_configs(n) == planned

    def test_the_table_has_a_row_for_each_rung(self) -> None:
        table = self.make().get_table()
        columns = ["iteration", "rung", "budget", "num_configs", "cost"]
        assert list(table.columns) == columns
        assert set(table["budget"]) == set(self.make().budgets)

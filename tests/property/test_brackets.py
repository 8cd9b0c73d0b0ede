"""Rungs, budgets and promotions equal the published definitions, whatever the order of results."""

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpdist.core.model.values import Job
from hpdist.multi_fidelity import (
    Asha,
    Custom,
    HalvingBracket,
    Hyperband,
    Promote,
    SuccessiveHalving,
    budget_ladder,
)
from hpdist.testing.iter_generators import play

SEEDS = st.integers(0, 2**32 - 1)
RATES = st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0])
WORKERS = st.integers(1, 9)


def jobs_of_rung(history, rung):
    return [job for job in history.jobs if job.rung == rung]


def best(history, rung, how_many):
    """The definition: the successes of a rung, ranked by loss, ties by trial number."""
    ranked = sorted(
        (history.losses[job.job_id], job.trial_id)
        for job in jobs_of_rung(history, rung)
        if history.losses[job.job_id] < math.inf
    )
    return {trial_id for _, trial_id in ranked[:how_many]}


def check_bracket(bracket, sizes, budgets, seed, rate, workers):
    history = play(bracket, seed, rate, workers)
    assert bracket.is_finished
    expected = set(range(sizes[0]))
    for rung, budget in enumerate(budgets):
        jobs = jobs_of_rung(history, rung)
        assert {job.trial_id for job in jobs} == expected
        assert len(jobs) == len(expected)
        assert all(job.budget == pytest.approx(budget) for job in jobs)
        expected = best(history, rung, sizes[rung + 1]) if rung + 1 < len(sizes) else set()


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 4), st.integers(0, 3), st.data(), SEEDS, RATES, WORKERS)
def test_hyperband_brackets_are_those_of_the_paper(eta, s_max, data, seed, rate, workers):
    iteration = data.draw(st.integers(0, 2 * s_max + 1))
    s = s_max - iteration % (s_max + 1)
    n = math.ceil(Fraction(s_max + 1, s + 1) * eta**s)
    sizes = [n // eta**i for i in range(s + 1)]
    budgets = [2.0 * eta ** (s_max - s + i) for i in range(s + 1)]
    bracket = Hyperband(2, 2 * eta**s_max, eta).get_next_iteration(iteration)
    check_bracket(bracket, sizes, budgets, seed, rate, workers)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 5), st.integers(0, 5))
def test_hpbandster_rounding_floors_the_number_of_repetitions(eta, s_max):
    generator = Hyperband(1, eta**s_max, eta, rounding="hpbandster")
    first = [rung.num_configs for rung in generator.plan(s_max + 1) if rung.rung == 0]
    assert first == [(s_max + 1) // (s + 1) * eta**s for s in range(s_max, -1, -1)]


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 4), st.integers(0, 3), st.integers(0, 20), SEEDS, RATES, WORKERS)
def test_successive_halving_keeps_one_in_eta(eta, s_max, more, seed, rate, workers):
    n = eta**s_max + more
    sizes = [n // eta**i for i in range(s_max + 1)]
    budgets = [float(eta**i) for i in range(s_max + 1)]
    generator = SuccessiveHalving(1, eta**s_max, eta, num_configs=n)
    check_bracket(generator.get_next_iteration(0), sizes, budgets, seed, rate, workers)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=4), SEEDS, RATES, WORKERS)
def test_a_custom_bracket_does_what_its_table_says(sizes, seed, rate, workers):
    sizes = sorted(sizes, reverse=True)
    budgets = [1.5 * 2**i for i in range(len(sizes))]
    bracket = Custom(sizes, budgets).get_next_iteration(0)
    check_bracket(bracket, sizes, budgets, seed, rate, workers)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([2, 3, 4, 2.5]), st.integers(0, 3), st.data())
def test_asha_promotes_the_best_due_trial_from_the_highest_rung_possible(eta, s_max, data):
    bracket = Asha(1, eta**s_max, eta).get_next_iteration(0)
    results = [{} for _ in range(s_max + 1)]
    started = [set() for _ in range(s_max + 1)]
    running = []
    for job_id in range(60):
        proposal = bracket.propose()
        assert bracket.propose() == proposal
        due = []
        for rung in range(s_max):
            top = sorted((loss, trial) for trial, loss in results[rung].items())
            top = top[: math.floor(len(top) / eta)]
            due += [
                (rung + 1, trial)
                for loss, trial in top
                if loss < math.inf and trial not in started[rung + 1]
            ]
        if isinstance(proposal, Promote):
            highest = max(rung for rung, _ in due)
            first = next(trial for rung, trial in due if rung == highest)
            assert (proposal.rung, proposal.trial_id) == (highest, first)
        else:
            assert not due
        trial_id = getattr(proposal, "trial_id", len(started[0]))
        started[proposal.rung].add(trial_id)
        job = Job(job_id, trial_id, proposal.budget, rung=proposal.rung)
        bracket.started(job)
        running.append(job)
        while running and data.draw(st.booleans()):
            job = running.pop(data.draw(st.integers(0, len(running) - 1)))
            loss = data.draw(st.sampled_from([0.0, 1.0, 2.0, 3.0, math.inf]))
            results[job.rung][job.trial_id] = loss
            bracket.finished(job, loss)
    assert not bracket.is_finished


@given(st.integers(2, 10), st.integers(0, 8), st.sampled_from([0.1, 0.01, 0.3, 0.7, 1, 3, 7, 1e-6]))
def test_exact_powers_of_eta_have_all_their_rungs(eta, s_max, lowest):
    ladder = budget_ladder(lowest, lowest * eta**s_max, eta)
    assert ladder == pytest.approx([lowest * eta**k for k in range(s_max + 1)])
    assert ladder[-1] == lowest * eta**s_max


@given(st.integers(2, 10), st.integers(1, 8), st.floats(1.001, 1.999))
def test_a_minimum_just_above_a_power_has_one_rung_less(eta, s_max, factor):
    ladder = budget_ladder(factor, eta**s_max, eta)
    assert ladder == pytest.approx([eta**k for k in range(1, s_max + 1)])


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(2, 9), st.integers(1, 4), st.data())
def test_a_retry_counts_until_the_next_rung_has_begun(seed, n, slots, data):
    """Retrying failed evaluations gives the promotions of the losses known in the end."""
    slots = min(slots, n)
    bracket = HalvingBracket([n, slots], [1.0, 3.0])
    jobs = [Job(k, k, 1.0) for k in range(n)]
    losses = data.draw(st.lists(st.sampled_from([0.0, 1.0, math.inf]), min_size=n, max_size=n))
    for job in jobs:
        bracket.started(job)
    for job, loss in zip(jobs, losses, strict=True):
        bracket.finished(job, loss)
    for job in [job for job in jobs if losses[job.job_id] == math.inf]:
        if data.draw(st.booleans()):
            retry = Job(n + job.job_id, job.trial_id, 1.0, retry_of=job.job_id)
            bracket.started(retry)
            assert bracket.propose() is None
            losses[job.trial_id] = data.draw(st.sampled_from([0.5, 2.0, math.inf]))
            bracket.finished(retry, losses[job.trial_id])
    promoted = []
    while (proposal := bracket.propose()) is not None:
        promoted.append(proposal.trial_id)
        bracket.started(Job(100 + len(promoted), proposal.trial_id, 3.0, rung=1))
        bracket.finished(jobs[seed % n], -1.0)
    ranked = sorted((loss, trial) for trial, loss in enumerate(losses) if loss < math.inf)
    assert promoted == [trial for _, trial in ranked[:slots]]


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 12), SEEDS, RATES, WORKERS)
def test_failures_in_the_lowest_rung_are_replaced_by_choice(size, seed, rate, workers):
    bracket = HalvingBracket([size, 1], [1.0, 3.0], replace_failed=True)
    history = play(bracket, seed, rate, workers)
    lowest = jobs_of_rung(history, 0)
    failed = sum(history.losses[job.job_id] == math.inf for job in lowest)
    assert bracket.is_finished
    assert len(lowest) == size + min(failed, size)
    assert {job.trial_id for job in jobs_of_rung(history, 1)} == best(history, 0, 1)


def test_generators_hand_the_choice_on_and_say_so():
    for kind in (Hyperband, SuccessiveHalving):
        plain, replacing = kind(1, 9), kind(1, 9, replace_failed=True)
        assert "replace_failed" not in plain.describe()
        assert replacing.describe()["replace_failed"] is True
        history = play(replacing.get_next_iteration(0), 3, 1.0, 2)
        assert len(history.jobs) == 2 * len(play(plain.get_next_iteration(0), 3, 1.0, 2).jobs)

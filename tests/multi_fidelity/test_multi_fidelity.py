"""Iteration generators: settings are checked, plans add up, impossible events are bugs."""

import math

import pytest

from hpdist.core.model.errors import ConfigurationError, StateError
from hpdist.core.model.values import Job
from hpdist.multi_fidelity import (
    NAMES,
    Asha,
    Custom,
    Hyperband,
    NewTrial,
    Promote,
    SingleFidelity,
    SuccessiveHalving,
    budget_ladder,
    make_plan,
    most_busy,
    total_cost,
)


def run_job(bracket, job_id, trial_id, loss, rung=0, budget=1.0):
    job = Job(job_id, trial_id, budget, rung=rung)
    bracket.started(job)
    bracket.finished(job, loss)
    return job


@pytest.mark.parametrize(
    ("lowest", "highest", "expected"),
    [
        (1, 243, [1, 3, 9, 27, 81, 243]),
        (0.1, 0.9, [0.1, 0.3, 0.9]),
        (3, 729, [3, 9, 27, 81, 243, 729]),
        (5, 5, [5]),
        (2, 100, [100 / 27, 100 / 9, 100 / 3, 100]),
    ],
)
def test_the_ladder_has_all_rungs_that_fit(lowest, highest, expected):
    assert budget_ladder(lowest, highest, 3) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((0, 1), "min_budget"),
        ((-1, 1), "min_budget"),
        ((math.nan, 1), "min_budget"),
        ((True, 1), "min_budget"),
        (("1", 9), "min_budget"),
        ((1, math.inf), "max_budget"),
        ((9, 1), "min_budget=9 is larger than max_budget=1"),
        ((5e-324, 1e300), "too far apart"),
        ((1, 9, 1.5), "eta"),
        ((1, 9, math.nan), "eta"),
        ((1, 9, "3"), "eta"),
    ],
)
@pytest.mark.parametrize("make", [budget_ladder, Hyperband, SuccessiveHalving, Asha])
def test_impossible_budgets_are_refused_by_name(make, arguments, named):
    with pytest.raises(ConfigurationError, match=named) as caught:
        make(*arguments)
    assert caught.value.do


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: SingleFidelity(0), "budget"),
        (lambda: SingleFidelity(1, 0), "num_configs"),
        (lambda: SingleFidelity(1, 1.5), "num_configs"),
        (lambda: SuccessiveHalving(1, 9, num_configs=8), "num_configs=8 leaves no configuration"),
        (lambda: Hyperband(1, 9, rounding="up"), "rounding"),
        (lambda: Custom([], []), "num_configs"),
        (lambda: Custom("9", [1]), "num_configs"),
        (lambda: Custom([9, 3], [1]), "different lengths"),
        (lambda: Custom([[9], [3]], [[1]]), "2 brackets and budgets 1"),
        (lambda: Custom([3, 9], [1, 3]), "rises"),
        (lambda: Custom([9, 3], [3, 3]), "does not rise"),
        (lambda: Custom([9, 0], [1, 3]), "num_configs"),
        (lambda: Custom([9, 3], [1, -3]), "budgets"),
        (lambda: Custom([[9, 3], 5], [[1, 3], [3]]), "num_configs"),
    ],
)
def test_impossible_settings_are_refused_by_name(make, named):
    with pytest.raises(ConfigurationError, match=named):
        make()


def test_hyperband_from_1_to_81_is_the_table_of_the_paper():
    rungs = [(r.iteration, r.num_configs, r.budget) for r in Hyperband(1, 81).plan(5)]
    assert rungs == [
        *[(0, 81, 1), (0, 27, 3), (0, 9, 9), (0, 3, 27), (0, 1, 81)],
        *[(1, 34, 3), (1, 11, 9), (1, 3, 27), (1, 1, 81)],
        *[(2, 15, 9), (2, 5, 27), (2, 1, 81)],
        *[(3, 8, 27), (3, 2, 81)],
        (4, 5, 81),
    ]


def test_eta_is_the_decimal_that_was_written():
    """In binary, 2.2 is a little more than 11/5, and 10 * 2.2 / 2 would be rounded up to 12."""
    generator = Hyperband(1, 2.2**9, eta=2.2)
    starts = [rung.num_configs for rung in generator.plan(10) if rung.rung == 0]
    assert starts[-2:] == [11, 10]


def test_no_rung_is_empty_where_hpbandster_rounds_to_nothing():
    generator = Hyperband(1, 2.2**3, eta=2.2, rounding="hpbandster")
    assert [rung.num_configs for rung in generator.plan(1)] == [10, 4, 2, 1]


def test_a_generator_made_of_equal_numbers_is_described_alike():
    assert Hyperband(1, 9, 3.0).describe() == Hyperband(1.0, 9.0, 3).describe()
    assert repr(Hyperband(1, 9)) == (
        "Hyperband(min_budget=1.0, max_budget=9.0, eta=3, rounding='paper')"
    )


def test_a_description_can_be_changed_without_changing_the_generator():
    generator = Custom([4, 2], [1, 2])
    generator.describe()["budgets"][0].clear()
    assert generator.describe() == {
        "name": "Custom",
        "num_configs": [[4, 2]],
        "budgets": [[1.0, 2.0]],
    }


def test_default_iterations_are_a_whole_cycle():
    assert Hyperband(1, 81).default_iterations == 5
    assert SuccessiveHalving(1, 81).default_iterations == 1
    assert SingleFidelity(num_configs=30).default_iterations == 3
    assert SingleFidelity(num_configs=500).default_iterations == 1
    assert Asha(1, 81).default_iterations is None


def test_a_plan_adds_up():
    plan = make_plan(Hyperband(1, 9))
    assert [rung.num_configs for rung in plan.rungs] == [9, 3, 1, 5, 1, 3]
    assert plan.evaluations == 22
    assert plan.configurations == plan.most_busy == 17
    assert plan.total_budget == total_cost(plan.rungs) == 9 + 9 + 9 + 15 + 9 + 27


def test_more_workers_than_most_busy_are_never_all_busy():
    generator = Hyperband(1, 9)
    brackets = [generator.get_next_iteration(i) for i in range(3)]
    started = 0
    for bracket in brackets:
        while bracket.propose() is not None:
            bracket.started(Job(started, started, bracket.propose().budget))
            started += 1
    assert started == most_busy(generator.plan(3))


@pytest.mark.parametrize("n_iterations", [None, 0, 3])
def test_asha_has_no_plan_and_says_how_to_end_it(n_iterations):
    with pytest.raises(ConfigurationError) as caught:
        make_plan(Asha(1, 9), n_iterations)
    assert caught.value.do


def test_asha_has_one_bracket_only():
    with pytest.raises(ConfigurationError, match="no iteration 1"):
        Asha(1, 9).get_next_iteration(1)
    with pytest.raises(ConfigurationError, match="cannot be planned"):
        Asha(1, 9).num_all_configs(2)


@pytest.mark.parametrize("generator", [Hyperband(1, 9), Asha(1, 9)])
def test_what_a_generator_does_not_understand_is_refused(generator):
    with pytest.raises(ConfigurationError, match="colour"):
        generator.get_next_iteration(0, colour="blue")
    with pytest.raises(ConfigurationError, match="-1"):
        generator.get_next_iteration(-1)


def test_names_are_those_of_the_command_line():
    assert {name: kind.__name__ for name, kind in NAMES.items()} == {
        "single": "SingleFidelity",
        "halving": "SuccessiveHalving",
        "hyperband": "Hyperband",
        "asha": "Asha",
    }


def test_nothing_is_promoted_before_the_rung_is_complete():
    bracket = Custom([2, 1], [1, 3]).get_next_iteration(0)
    run_job(bracket, 0, 0, 0.1)
    late = Job(1, 1, 1.0)
    bracket.started(late)
    assert bracket.propose() is None
    assert not bracket.is_finished
    bracket.finished(late, 0.2)
    assert bracket.propose() == Promote(0, 3.0, 1)


def test_a_bracket_whose_trials_all_failed_is_finished_and_reopens_on_retry():
    bracket = Custom([2, 1], [1, 3]).get_next_iteration(0)
    for trial_id in range(2):
        run_job(bracket, trial_id, trial_id, math.inf)
    assert bracket.is_finished
    run_job(bracket, 2, 1, 0.5)
    assert bracket.propose() == Promote(1, 3.0, 1)
    assert not bracket.is_finished


def test_a_retry_after_the_next_rung_began_changes_nothing():
    bracket = Custom([3, 1], [1, 3]).get_next_iteration(0)
    for trial_id, loss in enumerate([math.inf, 0.2, 0.3]):
        run_job(bracket, trial_id, trial_id, loss)
    run_job(bracket, 3, 1, 0.2, rung=1, budget=3.0)
    assert bracket.is_finished
    run_job(bracket, 4, 0, 0.0)
    assert bracket.is_finished
    assert bracket.propose() is None


@pytest.mark.parametrize(
    "job", [Job(9, 0, 3.0, rung=1), Job(9, 1, 9.0, rung=2), Job(9, 5, 3.0, rung=1)]
)
def test_starting_what_was_not_proposed_is_a_bug(job):
    bracket = Custom([2, 1, 1], [1, 3, 9]).get_next_iteration(0)
    for trial_id, loss in enumerate([0.2, 0.1]):
        run_job(bracket, trial_id, trial_id, loss)
    assert bracket.propose() == Promote(1, 3.0, 1)
    with pytest.raises(StateError):
        bracket.started(job)


@pytest.mark.parametrize("generator", [Custom([2, 1], [1, 3]), Asha(1, 3)])
def test_finishing_what_was_never_started_is_a_bug(generator):
    bracket = generator.get_next_iteration(0)
    for job in (Job(0, 7, 1.0), Job(0, 7, 3.0, rung=1)):
        with pytest.raises(StateError):
            bracket.finished(job, 0.1)


def test_asha_promotes_a_trial_once_and_never_one_that_failed():
    bracket = Asha(1, 2, eta=2).get_next_iteration(0)
    for trial_id, loss in enumerate([0.1, math.inf]):
        run_job(bracket, trial_id, trial_id, loss)
    bracket.started(Job(2, 0, 2.0, rung=1))
    assert bracket.propose() == NewTrial(1.0)
    with pytest.raises(StateError, match="trial 1 cannot be promoted"):
        bracket.started(Job(3, 1, 2.0, rung=1))


def test_asha_promotes_a_failed_trial_once_its_retry_succeeded():
    bracket = Asha(1, 3, eta=3).get_next_iteration(0)
    for trial_id, loss in enumerate([math.inf, 0.3, 0.2]):
        run_job(bracket, trial_id, trial_id, loss)
    retry = Job(3, 0, 1.0, retry_of=0)
    bracket.started(retry)
    bracket.finished(retry, 0.1)
    assert bracket.propose() == Promote(0, 3.0, 1)


def test_asha_takes_the_first_success_of_a_trial():
    bracket = Asha(1, 3, eta=3).get_next_iteration(0)
    jobs = [run_job(bracket, trial_id, trial_id, 0.1 * trial_id) for trial_id in range(3)]
    bracket.finished(jobs[2], -1.0)
    assert bracket.propose() == Promote(0, 3.0, 1)


def test_asha_begins_new_trials_while_nobody_is_good_enough():
    bracket = Asha(1, 3, eta=3).get_next_iteration(0)
    for trial_id in range(2):
        run_job(bracket, trial_id, trial_id, 0.1)
        assert bracket.propose() == NewTrial(1.0)

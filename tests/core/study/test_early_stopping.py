"""Rules that end evaluations early: what they decide, and what a loop makes of it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.events import (
    AttemptEnded,
    AttemptStarted,
    JobCreated,
    ReportReceived,
)
from hpdist.core.model.limits_and_timing import Limits
from hpdist.core.model.values import Success
from hpdist.core.study.early_stopping import NAMES, MedianRule, RungRule, StoppingRule, make_rule
from hpdist.core.study.study import Study

CURVES = st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=6), min_size=1, max_size=12)


def tell(rule: StoppingRule, job_id: int, losses: list[float], budget: float = 1.0) -> None:
    for step, loss in enumerate(losses, start=1):
        rule.report(job_id, 1, budget, step, loss)


def with_five_finished(budget: float = 1.0) -> MedianRule:
    """Running means at step 2 are 1.5, 2.5, 3.5, 4.5, 5.5."""
    rule = MedianRule()
    for job_id in range(5):
        tell(rule, job_id, [job_id + 1.0, job_id + 2.0], budget)
        rule.finished(job_id)
    return rule


def test_the_median_rule_compares_the_best_with_the_running_means_of_the_others() -> None:
    rule = with_five_finished()
    tell(rule, 9, [3.6, 3.7])
    assert rule.stops(9)
    tell(rule, 10, [9.0, 3.4])
    assert not rule.stops(10)


def test_the_median_rule_knows_only_those_that_came_as_far() -> None:
    rule = with_five_finished()
    tell(rule, 9, [9.0, 9.0, 9.0])
    assert not rule.stops(9)


def test_the_median_rule_compares_within_a_budget() -> None:
    rule = with_five_finished(budget=3.0)
    tell(rule, 9, [9.0, 9.0], budget=1.0)
    assert not rule.stops(9)
    tell(rule, 10, [9.0, 9.0], budget=3.0)
    assert rule.stops(10)


def test_the_median_rule_waits_for_enough_others_and_for_its_first_steps() -> None:
    few, early = MedianRule(min_trials=2), MedianRule(min_steps=3, min_trials=1)
    for rule in (few, early):
        tell(rule, 0, [1.0, 1.0, 1.0])
        rule.finished(0)
        tell(rule, 1, [5.0, 5.0])
        assert not rule.stops(1)
    early.report(1, 1, 1.0, 3, 5.0)
    assert early.stops(1)


def test_a_repeated_attempt_begins_its_curve_anew() -> None:
    rule = with_five_finished()
    tell(rule, 9, [0.1, 0.1])
    rule.report(9, 2, 1.0, 1, 9.0)
    rule.report(9, 2, 1.0, 2, 9.0)
    assert rule.stops(9)


def test_the_rung_rule_lets_the_best_third_pass() -> None:
    rule = RungRule(first=1, eta=3)
    for job_id, loss in enumerate([5.0, 4.0, 3.0]):
        rule.report(job_id, 1, 1.0, 1, loss)
    assert [rule.stops(job_id) for job_id in range(3)] == [True, True, False]
    rule.report(2, 1, 1.0, 2, 99.0)
    assert not rule.stops(2), "there is no rung at step 2"
    rule.report(2, 1, 1.0, 3, 99.0)
    assert not rule.stops(2), "nobody else is at step 3"


@settings(max_examples=200, deadline=None)
@given(CURVES)
def test_of_those_at_a_rung_together_the_best_is_never_stopped(curves: list[list[int]]) -> None:
    rule = RungRule(first=2, eta=2)
    for job_id, losses in enumerate(curves):
        tell(rule, job_id, [float(loss) for loss in losses])
    at_first = {k: losses[1] for k, losses in enumerate(curves) if 2 <= len(losses) < 4}
    others = [losses[1] for losses in curves if len(losses) >= 2]
    for job_id, loss in at_first.items():
        better = sum(other < loss for other in others)
        expected = len(others) >= 2 and better >= len(others) // 2
        assert rule.stops(job_id) == expected


@pytest.mark.parametrize("name", NAMES)
def test_rules_by_name_describe_themselves(name: str) -> None:
    rule = make_rule(name)
    assert rule is not None
    assert make_rule(rule) is rule
    settings = rule.describe()
    assert NAMES[name](**{k: v for k, v in settings.items() if k != "name"}).describe() == settings


@pytest.mark.parametrize("wrong", ["medina", 3, MedianRule, object()])
def test_what_is_no_rule_is_refused(wrong: object) -> None:
    with pytest.raises(ConfigurationError, match="is no rule"):
        make_rule(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [-1, 1.5, None])
def test_impossible_settings_are_refused(wrong: object) -> None:
    for make in (lambda: MedianRule(min_trials=wrong), lambda: RungRule(first=wrong)):  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError):
            make()


def test_replaying_a_journal_gives_the_rule_what_it_knew() -> None:
    live = Study({"x": (0.0, 1.0)}, limits=Limits(n_evaluations=9), early_stopping="median")
    again = Study({"x": (0.0, 1.0)}, limits=Limits(n_evaluations=9), early_stopping="median")
    records = []
    for job_id in range(6):
        proposed = live.propose()
        assert isinstance(proposed, JobCreated)
        of_job = [
            proposed,
            AttemptStarted(job_id, 1, "a"),
            ReportReceived(job_id, 1, 1, float(job_id)),
            ReportReceived(job_id, 1, 2, float(job_id)),
        ]
        if job_id < 5:
            of_job.append(AttemptEnded(job_id, 1, "a", Success(float(job_id))))
        for record in of_job:
            live.apply(record)
        records += of_job
    for record in records:
        again.apply(record)
    assert live.stops_early(5)
    assert again.stops_early(5)

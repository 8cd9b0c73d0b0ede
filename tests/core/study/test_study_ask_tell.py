"""A study alone: ask, evaluate, tell."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from hpdist.core.model.errors import ConfigurationError, StateError
from hpdist.core.model.events import AttemptEnded, Controlled, JobCreated
from hpdist.core.model.limits_and_timing import Limits
from hpdist.core.model.payload import PreviousAttempt
from hpdist.core.model.states import FailureKind
from hpdist.core.model.values import Failure, Job, Success
from hpdist.core.space.space import Space
from hpdist.core.study.study import Evaluation, Study
from hpdist.multi_fidelity import Asha, Hyperband, SingleFidelity, SuccessiveHalving
from hpdist.optimizers import Observation, Pending, RandomSearch, Suggestion

SPACE = {"x": (-1.0, 1.0), "k": (1, 8)}


class Recorder:
    """An optimizer that remembers what it was asked and told."""

    def __init__(self) -> None:
        self.asked: list[tuple[float, list[Pending]]] = []
        self.told: list[Observation] = []

    def ask(
        self, budget: float, pending: list[Pending], rng: np.random.Generator, n: int = 1
    ) -> list[Suggestion]:
        self.asked.append((budget, list(pending)))
        return [Suggestion({"x": float(rng.uniform(-1, 1)), "k": 1}, {"origin": "recorder"})]

    def tell(self, observation: Observation) -> None:
        self.told.append(observation)

    def describe(self) -> dict[str, Any]:
        return {"name": "Recorder"}


def bowl(evaluation: Evaluation) -> float:
    return float(evaluation.config["x"] ** 2 + 1 / evaluation.budget)


def play(study: Study, loss: Callable[[Evaluation], float | None] = bowl) -> list[Evaluation]:
    evaluations = []
    while (evaluation := study.ask()) is not None:
        evaluations.append(evaluation)
        study.tell(evaluation, loss(evaluation))
    return evaluations


# ------------------------------------------------------------------ a whole search


def test_hyperband_asks_for_its_plan_bracket_by_bracket() -> None:
    study = Study(SPACE, Hyperband(1, 9))
    evaluations = play(study)
    counts: dict[tuple[int, int, float], int] = {}
    for each in evaluations:
        place = (each.job.bracket, each.job.rung, each.budget)
        counts[place] = counts.get(place, 0) + 1
    plan = {(r.iteration, r.rung, r.budget): r.num_configs for r in Hyperband(1, 9).plan(3)}
    assert counts == plan
    assert study.done


def test_the_best_of_each_rung_are_promoted() -> None:
    study = Study(SPACE, SuccessiveHalving(1, 9), limits=Limits(n_iterations=1))
    evaluations = play(study)
    for rung in (1, 2):
        below = [each for each in evaluations if each.job.rung == rung - 1]
        above = {each.trial.trial_id for each in evaluations if each.job.rung == rung}
        ranked = sorted(below, key=bowl)[: len(above)]
        assert {each.trial.trial_id for each in ranked} == above


def test_failures_are_never_promoted_and_told_as_infinite() -> None:
    recorder = Recorder()
    study = Study(SPACE, SuccessiveHalving(1, 9), recorder, limits=Limits(n_iterations=1))
    evaluations = play(study, lambda each: None if each.config["x"] < 0 else bowl(each))
    promoted = [each for each in evaluations if each.job.rung > 0]
    assert promoted
    assert all(each.config["x"] >= 0 for each in promoted)
    infinite = {each.trial_id for each in recorder.told if each.loss == math.inf}
    assert infinite == {each.trial.trial_id for each in evaluations if each.config["x"] < 0}


def test_a_search_in_which_everything_fails_comes_to_an_end() -> None:
    study = Study(SPACE, Hyperband(1, 9))
    evaluations = play(study, lambda each: None)
    assert {each.job.rung for each in evaluations} == {0}
    assert study.done
    assert study.table.best is None


def test_maximizing_is_minimizing_with_the_other_sign() -> None:
    down = Study(SPACE, Hyperband(1, 9), seed=3)
    up = Study(SPACE, Hyperband(1, 9), seed=3, direction="maximize")
    jobs = [
        [each.job for each in play(down, bowl)],
        [each.job for each in play(up, lambda e: -bowl(e))],
    ]
    assert jobs[0] == jobs[1]
    best_down, best_up = down.table.best, up.table.best
    assert best_down is not None
    assert best_up is not None
    assert isinstance(best_down.outcome, Success)
    assert best_up.outcome == Success(-best_down.outcome.loss)


def test_an_optimizer_that_maximizes_is_told_losses_to_minimize() -> None:
    recorder = Recorder()
    study = Study(SPACE, optimizer=recorder, direction="maximize", limits=Limits(n_trials=1))
    play(study, lambda each: 5.0)
    assert [each.loss for each in recorder.told] == [-5.0]


# ------------------------------------------------------------------ asking


def test_the_same_seed_gives_the_same_search() -> None:
    first, second, other = (
        [(each.config, each.seed) for each in play(Study(SPACE, Hyperband(1, 9), seed=seed))]
        for seed in (5, 5, 6)
    )
    assert first == second != other


def test_a_trial_has_one_seed_at_all_budgets_and_differs_from_others() -> None:
    seeds: dict[int, set[int]] = {}
    for each in play(Study(SPACE, Hyperband(1, 9))):
        seeds.setdefault(each.trial.trial_id, set()).add(each.seed)
    assert all(len(one) == 1 for one in seeds.values())
    assert len(set.union(*seeds.values())) == len(seeds)


def test_a_trials_configuration_does_not_depend_on_when_it_is_asked_for() -> None:
    one_by_one = Study(SPACE, SuccessiveHalving(1, 9))
    configs = [each.config for each in play(one_by_one) if each.job.rung == 0]
    at_once = Study(SPACE, SuccessiveHalving(1, 9))
    asked = [at_once.ask() for _ in range(9)]
    assert [each.config for each in asked if each] == configs[:9]


def test_proposing_changes_nothing() -> None:
    study = Study(SPACE, Hyperband(1, 9))
    first = study.propose()
    assert first is not None
    assert study.propose() == first
    assert not study.table.jobs
    asked = study.ask()
    assert asked is not None
    assert asked.job == first.job


def test_a_rung_waits_for_its_results_and_the_next_bracket_opens_meanwhile() -> None:
    study = Study(SPACE, Hyperband(1, 9), limits=Limits(n_iterations=1))
    out = [study.ask() for _ in range(9)]
    assert study.ask() is None
    assert not study.done, "nine evaluations are out"
    for each in out:
        assert each is not None
        study.tell(each, bowl(each))
    promoted = study.ask()
    assert promoted is not None
    assert promoted.job.rung == 1
    wider = Study(SPACE, Hyperband(1, 9), limits=Limits(n_iterations=2))
    brackets = [each.job.bracket for each in (wider.ask() for _ in range(10)) if each]
    assert brackets == [0] * 9 + [1]


def test_the_optimizer_knows_what_is_pending() -> None:
    recorder = Recorder()
    study = Study(SPACE, optimizer=recorder)
    first, second = study.ask(), study.ask()
    assert first is not None
    assert second is not None
    assert recorder.asked[1] == (1.0, [Pending(0, first.config, 1.0)])
    study.tell(first, 1.0)
    study.ask()
    assert recorder.asked[2] == (1.0, [Pending(1, second.config, 1.0)])


def test_each_trial_says_how_much_was_known_when_it_was_chosen() -> None:
    study = Study(SPACE, limits=Limits(n_trials=3))
    assert [each.trial.config_info["as_of"] for each in play(study)] == [0, 1, 2]


def test_config_ids_name_iteration_rung_and_index() -> None:
    evaluations = play(Study(SPACE, Hyperband(1, 3)))
    ids = {each.trial.trial_id: each.trial.config_id for each in evaluations}
    assert list(ids.values()) == [(0, 0, 0), (0, 0, 1), (0, 0, 2), (1, 0, 0), (1, 0, 1)]


def test_a_configuration_that_is_asked_for_is_a_copy() -> None:
    study = Study(SPACE)
    asked = study.ask()
    assert asked is not None
    asked.config["x"] = "changed"
    assert asked.config == study.table.trials[0].config != {"x": "changed"}


# ------------------------------------------------------------------ beginning


def test_first_configurations_come_before_the_optimizer_is_asked() -> None:
    recorder = Recorder()
    first = [{"k": np.int64(2), "x": np.float64(0.5)}, {"x": -0.5, "k": 3}]
    study = Study(SPACE, optimizer=recorder, initial_configs=first, limits=Limits(n_trials=3))
    evaluations = play(study)
    assert [each.config for each in evaluations[:2]] == [{"x": 0.5, "k": 2}, {"x": -0.5, "k": 3}]
    assert [each.trial.config_info["origin"] for each in evaluations] == [
        "initial",
        "initial",
        "recorder",
    ]
    assert len(recorder.asked) == 1


@pytest.mark.parametrize("config", [{"x": 0.5}, {"x": 2.0, "k": 1}, {"x": 0.0, "k": 1, "z": 1}])
def test_a_first_configuration_outside_the_space_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Study(SPACE, initial_configs=[config])


@pytest.mark.parametrize(("direction", "sign"), [("minimize", 1.0), ("maximize", -1.0)])
def test_a_warm_start_is_told_first_as_trials_of_their_own(direction: str, sign: float) -> None:
    recorder = Recorder()
    known = [
        {"config": {"x": 0.5, "k": 2}, "budget": 3, "loss": 0.25},
        {"config": {"x": 0.1, "k": 2}, "budget": 1, "loss": None},
    ]
    study = Study(SPACE, optimizer=recorder, direction=direction, warm_start=known)
    assert recorder.told == [
        Observation(-1, {"x": 0.5, "k": 2}, 3.0, sign * 0.25),
        Observation(-2, {"x": 0.1, "k": 2}, 1.0, math.inf),
    ]
    assert study.describe("r").warm_start == known
    assert study.table.best is None


def test_a_warm_start_outside_the_space_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="x=3"):
        Study(SPACE, warm_start=[{"config": {"x": 3.0, "k": 1}, "budget": 1, "loss": 0.0}])


@pytest.mark.parametrize(
    "wrong", [{"direction": "down"}, {"seed": -1}, {"seed": 1.5}, {"seed": True}, {"optimizer": 3}]
)
def test_what_a_study_cannot_be_made_of_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Study(SPACE, **wrong)


def test_a_study_made_from_its_description_is_the_same_search() -> None:
    study = Study(SPACE, Hyperband(1, 9), initial_configs=[{"x": 0.0, "k": 1}], seed=4)
    told = study.describe("r")
    again = Study(
        Space.from_json(told.space),
        Hyperband(1, 9),
        limits=Limits(**told.limits),
        initial_configs=told.initial_configs,
        seed=told.seed,
    )
    assert again.describe("r") == told
    assert [e.config for e in play(again)] == [e.config for e in play(study)]


# ------------------------------------------------------------------ telling


def test_an_evaluation_is_told_once() -> None:
    study = Study(SPACE)
    asked = study.ask()
    assert asked is not None
    study.tell(asked, 1.0)
    with pytest.raises(ConfigurationError, match="job 0 is not open"):
        study.tell(asked, 2.0)
    assert study.n_results == 1


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_is_refused_and_the_evaluation_stays_open(loss: float) -> None:
    study = Study(SPACE)
    asked = study.ask()
    assert asked is not None
    with pytest.raises(ConfigurationError, match="finite"):
        study.tell(asked, loss)
    study.tell(asked, 1.0)
    assert study.table.jobs[0].outcome == Success(1.0)


def test_an_evaluation_of_another_study_is_refused() -> None:
    study, other = Study(SPACE), Study(SPACE)
    asked = other.ask()
    assert asked is not None
    with pytest.raises(ConfigurationError, match="not open"):
        study.tell(asked, 1.0)


def test_cost_and_info_are_kept() -> None:
    study = Study(SPACE)
    asked = study.ask()
    assert asked is not None
    study.tell(asked, np.float32(0.5), cost=2, info={"acc": 0.9})
    assert study.table.jobs[0].outcome == Success(0.5, 2.0, {"acc": 0.9})
    assert study.table.total_cost == 2.0


def test_lost_and_cancelled_evaluations_are_not_told_to_the_optimizer() -> None:
    recorder = Recorder()
    study = Study(SPACE, optimizer=recorder)
    for kind in (FailureKind.LOST, FailureKind.CANCELLED):
        asked = study.ask()
        assert asked is not None
        study.apply(AttemptEnded(asked.job.job_id, 1, "w", Failure(kind, "gone")))
    assert recorder.told == []
    assert study.n_results == 0
    assert not study.table.pending


def test_an_attempt_that_is_not_final_changes_nothing() -> None:
    study = Study(SPACE)
    asked = study.ask()
    assert asked is not None
    study.apply(AttemptEnded(0, 1, "w", None, final=False))
    study.tell(asked, 1.0)
    assert study.n_results == 1


def test_records_that_cannot_follow_are_a_bug() -> None:
    study = Study(SPACE)
    with pytest.raises(StateError):
        study.apply(AttemptEnded(0, 1, "w", Success(1.0)))
    with pytest.raises(StateError):
        study.apply(JobCreated(Job(3, 0, 1.0)))


# ------------------------------------------------------------------ limits


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (Limits(n_iterations=0), 0),
        (Limits(n_iterations=2), 6),
        (Limits(n_trials=4), 5),
        (Limits(n_evaluations=3), 3),
        (Limits(max_cost=0), 0),
        (Limits(max_cost=3.5), 4),
        (Limits(target_loss=100.0, n_iterations=2), 4),
        (Limits(target_loss=-100.0, n_iterations=2), 6),
    ],
)
def test_each_limit_stops_new_evaluations(limits: Limits, expected: int) -> None:
    study = Study(SPACE, Hyperband(1, 3), limits=limits)
    assert len(play(study)) == expected
    assert study.done


def test_costs_are_what_the_objective_says_or_else_budgets() -> None:
    study = Study(SPACE, SingleFidelity(4.0), limits=Limits(max_cost=9))
    for cost in (None, 2.0, 3.0):
        asked = study.ask()
        assert asked is not None
        study.tell(asked, 1.0, cost=cost)
    assert study.ask() is None


def test_what_is_out_may_be_told_after_the_limit() -> None:
    study = Study(SPACE, limits=Limits(target_loss=0.5))
    first, second = study.ask(), study.ask()
    assert first is not None
    assert second is not None
    study.tell(first, 0.1)
    assert study.ask() is None
    assert not study.done
    study.tell(second, 0.05)
    assert study.done
    assert study.table.best is study.table.jobs[1]


def test_a_target_is_reached_at_the_largest_budget_only() -> None:
    study = Study(SPACE, Asha(1, 3), limits=Limits(target_loss=10.0, n_evaluations=50))
    evaluations = play(study)
    assert [each.budget for each in evaluations].count(3.0) == 1
    assert evaluations[-1].budget == 3.0


def test_an_extended_search_goes_on_where_it_ended() -> None:
    study = Study(SPACE, Hyperband(1, 3), limits=Limits(n_iterations=1))
    play(study)
    study.apply(Controlled("extend", {"n_iterations": 2}))
    assert not study.done
    assert {each.job.bracket for each in play(study)} == {1}


# ------------------------------------------------------------------ again


def test_a_failed_evaluation_is_retried_when_an_operator_says_so() -> None:
    study = Study(SPACE, SuccessiveHalving(1, 3), limits=Limits(n_iterations=1))
    play(study, lambda each: None)
    assert study.retryable() == [0, 1, 2]
    study.apply(Controlled("retry", {"jobs": [1]}))
    assert study.retryable() == [0, 2]
    again = play(study)
    assert [(each.job.trial_id, each.job.retry_of, each.job.rung) for each in again] == [
        (1, 1, 0),
        (1, None, 1),
    ]
    assert study.done


def test_successes_and_unknown_jobs_are_not_retryable() -> None:
    study = Study(SPACE, limits=Limits(n_trials=2))
    play(study, lambda each: None if each.job.job_id else 1.0)
    assert study.retryable([0, 1, 99]) == [1]


def test_a_worker_is_told_where_the_trial_left_off() -> None:
    study = Study(SPACE, SuccessiveHalving(1, 9), RandomSearch(Space.of(SPACE)))
    evaluations = [each for each in play(study) if each.trial.config_id[0] == 0]
    last = evaluations[-1]
    payload = study.payload(last.job.job_id)
    assert payload.previous == PreviousAttempt(3.0, 1)
    assert payload.seed == last.seed
    assert payload.config == last.config
    assert study.payload(0).previous is None


def test_n_trials_closes_a_rung_that_will_not_fill() -> None:
    study = Study({"x": (0.0, 1.0)}, Hyperband(1, 27, eta=3), limits=Limits(n_trials=20))
    budgets = []
    while (evaluation := study.ask()) is not None:
        budgets.append(evaluation.budget)
        study.tell(evaluation, loss=evaluation.config["x"])
    assert study.done
    assert Counter(budgets) == {1.0: 20, 3.0: 6, 9.0: 2, 27.0: 1}

"""Searches on an evaluator: limits, tables, failures, what others found."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from evaluator_functions import poisoned, square

from hpdist import Float
from hpdist.core.model.errors import ConfigurationError
from hpdist.evaluator import Evaluator, MemoryStorage, SerialEvaluator, ThreadPoolEvaluator
from hpdist.evaluator.callbacks import SearchEarlyStopping, TargetReached, TqdmCallback
from hpdist.evaluator.search import CBO, STRATEGIES, HpProblem, Search

SPACE = {"x": Float(-5.0, 5.0)}
TIMES = ["m:timestamp_submit", "m:timestamp_gather", "m:timestamp_start", "m:timestamp_end"]


def on_square(**options: Any) -> Evaluator:
    return ThreadPoolEvaluator(square, num_workers=2, **options)


def test_a_search_returns_a_table_of_exactly_so_many_jobs() -> None:
    with on_square() as evaluator:
        results = Search(SPACE, evaluator, random_state=1).search(max_evals=15)
    assert list(results.columns) == ["p:x", "objective", "job_id", "job_status", *TIMES]
    assert len(results) == 15
    assert results["objective"].dtype == float
    assert np.allclose(results["objective"], -(results["p:x"] ** 2))
    assert set(results["job_status"]) == {"completed"}
    assert results["job_id"].is_unique
    assert (results["m:timestamp_start"] >= results["m:timestamp_submit"]).all()
    assert (results["m:timestamp_end"] <= results["m:timestamp_gather"]).all()


def test_the_columns_are_in_the_order_of_the_problem() -> None:
    problem = HpProblem()
    problem.add_hyperparameter((-5.0, 5.0), "x")
    problem.add_hyperparameter(["b", "a"], "kind")
    with on_square() as evaluator:
        results = Search(problem, evaluator, "random").search(max_evals=1)
    assert list(results.columns[:2]) == ["p:x", "p:kind"]


def test_a_second_call_goes_on() -> None:
    with on_square() as evaluator:
        search = Search(SPACE, evaluator, random_state=1)
        first = search.search(max_evals=3)
        both = search.search(max_evals=4)
        pd.testing.assert_frame_equal(both.head(3), first)
        assert len(both) == 7
        assert evaluator.num_jobs_submitted == 7


@pytest.mark.slow
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_each_strategy_maximizes(strategy: str) -> None:
    with on_square() as evaluator:
        search = CBO(SPACE, evaluator, multi_point_strategy=strategy, random_state=42)
        results = search.search(max_evals=22)
    assert results["objective"].max() > -0.1


def test_the_same_seed_makes_the_same_search() -> None:
    tables = []
    for _ in range(2):
        with SerialEvaluator(square) as evaluator:
            tables.append(Search(SPACE, evaluator, random_state=7).search(max_evals=14))
    assert tables[0]["p:x"].tolist() == tables[1]["p:x"].tolist()


def test_failures_have_no_objective_and_tell_why() -> None:
    problem = HpProblem()
    problem.add_hyperparameter(["raise", "nan", "F", "fine"], "x")
    with ThreadPoolEvaluator(poisoned) as evaluator:
        results = Search(problem, evaluator, "random", random_state=0).search(max_evals=30)
    status = {"raise": "exception", "nan": "invalid", "F": "exception", "fine": "completed"}
    assert set(results["p:x"]) == set(status)
    assert results["job_status"].tolist() == [status[x] for x in results["p:x"]]
    assert results["objective"].isna().tolist() == (results["p:x"] != "fine").tolist()


@pytest.mark.slow
@pytest.mark.parametrize("timeout", [1, 0.3])
def test_time_ends_a_search_that_has_no_other_end(timeout: float) -> None:
    begun, released = threading.Event(), threading.Event()

    def endless(job: Any) -> float:
        begun.set()
        released.wait()
        return 0.0

    with ThreadPoolEvaluator(endless, num_workers=2, grace_s=0.1) as evaluator:
        begin = time.monotonic()
        results = Search(SPACE, evaluator).search(timeout=timeout)
        assert time.monotonic() - begin >= timeout
        assert begun.is_set()
        assert results["job_status"].tolist() == ["cancelled"] * 2
        assert evaluator.timeout is None
    released.set()


@pytest.mark.parametrize(
    ("callback", "most"), [(TargetReached(-1.0), 100), (SearchEarlyStopping(patience=5), 100)]
)
def test_callbacks_end_a_search(callback: Any, most: int) -> None:
    with SerialEvaluator(square, callbacks=[callback]) as evaluator:
        results = Search(SPACE, evaluator, random_state=1).search(max_evals=most)
    assert callback.search_stopped
    assert len(results) < most
    if isinstance(callback, TargetReached):
        assert results["objective"].iloc[-1] >= -1.0
        assert (results["objective"].iloc[:-1] < -1.0).all()
    else:
        assert (results["objective"].tail(5) <= results["objective"].iloc[:-5].max()).all()


def test_a_bar_of_tqdm_shows_failures_and_the_best(capsys: pytest.CaptureFixture[str]) -> None:
    with on_square(callbacks=[TqdmCallback()]) as evaluator:
        results = Search(SPACE, evaluator, random_state=1).search(max_evals=6)
    shown = capsys.readouterr().err
    assert "6/6" in shown
    assert f"failures=0, objective={results['objective'].max():.3g}" in shown


def test_several_objectives() -> None:
    def both(job: Any) -> tuple[float, float]:
        return -((job["x"] - 1) ** 2), -((job["x"] + 1) ** 2)

    with ThreadPoolEvaluator(both) as evaluator:
        results = Search(SPACE, evaluator, random_state=1, num_objectives=2).search(max_evals=12)
        assert np.allclose(results["objective_1"], -((results["p:x"] + 1) ** 2))
        wrong = Search(SPACE, evaluator, random_state=1).search(max_evals=2)
        assert wrong["job_status"].tolist() == ["invalid"] * 2


def test_what_others_of_the_search_found_is_learnt_from() -> None:
    storage = MemoryStorage()
    with on_square(storage=storage) as one:
        Search(SPACE, one, random_state=1).search(max_evals=11)
        with on_square(storage=storage, search_id=one.search_id) as two:
            search = Search(SPACE, two, random_state=2)
            results = search.search(max_evals=4)
    assert len(results) == 15
    assert results["job_id"].is_unique
    info = [trial.config_info for trial in search._study.table.trials]
    assert [each["origin"] for each in info].count("model") >= 1, "eleven are known after the first"


# ------------------------------------------------------------------ problems


def test_a_problem_shows_its_hyperparameters() -> None:
    problem = HpProblem()
    problem.add_hyperparameter((-32.768, 32.768), "x0")
    problem.add_hyperparameter((1, 1000, "log-uniform"), "units", default_value=8)
    problem.add_hyperparameter(["adam", "sgd"], "opt")
    problem.add_hyperparameter([16, 32, 64], "batch")
    assert repr(problem).splitlines() == [
        "Configuration space object:",
        "  Hyperparameters:",
        "    x0, Type: UniformFloat, Range: [-32.768, 32.768], Default: 0.0",
        "    units, Type: UniformInteger, Range: [1, 1000], Default: 8, on log-scale",
        "    opt, Type: Categorical, Choices: {adam, sgd}, Default: adam",
        "    batch, Type: Ordinal, Sequence: {16, 32, 64}, Default: 16",
    ]
    assert problem.default_configuration == {"x0": 0.0, "units": 8, "opt": "adam", "batch": 16}
    assert len(problem) == 4


def test_a_problem_takes_hyperparameters_of_configspace() -> None:
    import ConfigSpace

    problem = HpProblem()
    problem.add_hyperparameter(ConfigSpace.Float("lr", (1e-4, 1.0), log=True), "lr")
    problem.add_hyperparameters({"depth": (1, 5), "fixed": 3})
    assert problem.hyperparameter_names == ["lr", "depth", "fixed"]
    assert set(problem.space.names) == {"lr", "depth", "fixed"}


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (lambda: HpProblem().add_hyperparameter((3.0, 1.0), "x"), "lower bound"),
        (lambda: HpProblem().add_hyperparameter((1.0, 2.0, "cubic"), "x"), "no range"),
        (lambda: HpProblem().add_hyperparameter((1.0, 2.0), "x", 5.0), "default"),
        (lambda: HpProblem().add_hyperparameters({"x": 1, "": 2}), "name"),
        (lambda: Search(HpProblem(), SerialEvaluator(square)), "empty"),
        (lambda: Search(SPACE, square), "evaluator"),  # type: ignore[arg-type]
        (lambda: Search(SPACE, SerialEvaluator(square)).search(), "never end"),
        (lambda: Search(SPACE, SerialEvaluator(square)).search(timeout=-1), "timeout"),
        (lambda: Search(SPACE, SerialEvaluator(square)).search(max_evals=1.5), "max_evals"),
        (lambda: CBO(SPACE, SerialEvaluator(square), multi_point_strategy="cl"), "cl_min"),
    ],
)
def test_what_cannot_work_is_refused(wrong: Callable[[], object], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        wrong()

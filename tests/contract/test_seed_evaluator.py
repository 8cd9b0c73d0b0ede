"""The names that the seeds of the evaluators promise, with signatures."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from hpdist import evaluator, plot
from hpdist.evaluator import CBO, Evaluator, HpProblem, Search, callbacks, profile

REQUIRED = inspect.Parameter.empty

CONSTRUCTOR = {
    "run_function": REQUIRED,
    "num_workers": 1,
    "callbacks": None,
    "run_function_kwargs": None,
    "storage": None,
    "search_id": None,
}

SIGNATURES: list[tuple[Any, dict[str, Any]]] = [
    (Evaluator.create, {"run_function": REQUIRED, "method": "serial", "method_kwargs": None}),
    (Evaluator.submit, {"args_list": REQUIRED}),
    (Evaluator.gather, {"type": REQUIRED, "size": 1}),
    (Evaluator.gather_other_jobs_done, {}),
    (Evaluator.execute, {"job": REQUIRED}),
    (Evaluator.close, {}),
    (Evaluator.to_json, {}),
    (HpProblem, {}),
    (
        HpProblem.add_hyperparameter,
        {"value": REQUIRED, "name": REQUIRED, "default_value": None},
    ),
    (Search.search, {"max_evals": -1, "timeout": None}),
    (plot.figure_size, {"width": REQUIRED}),
]

CLASSES = (
    *("SerialEvaluator", "ThreadPoolEvaluator", "ProcessPoolEvaluator", "LokyEvaluator"),
    *("RayEvaluator", "DaskEvaluator", "MPICommEvaluator", "ClusterEvaluator"),
)


def test_signatures() -> None:
    for function, expected in SIGNATURES:
        parameters = dict(inspect.signature(function).parameters)
        parameters.pop("self", None)
        found = {name: each.default for name, each in list(parameters.items())[: len(expected)]}
        assert found == expected, function
        more = list(parameters.values())[len(expected) :]
        assert all(each.default is not REQUIRED for each in more), function


@pytest.mark.parametrize("name", CLASSES)
def test_every_evaluator_takes_the_same(name: str) -> None:
    parameters = inspect.signature(getattr(evaluator, name)).parameters
    first = {key: each.default for key, each in list(parameters.items())[: len(CONSTRUCTOR)]}
    assert first == CONSTRUCTOR


@pytest.mark.parametrize(
    "method", ["serial", "thread", "process", "loky", "ray", "dask", "mpicomm", "cluster"]
)
def test_methods_have_their_class(method: str) -> None:
    assert evaluator.base.METHODS[method].__name__ in CLASSES


def test_an_unknown_method_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="method"):
        Evaluator.create(lambda job: 1.0, method="magic")


def test_the_attributes() -> None:
    with Evaluator.create(lambda job: 1.0, method="thread") as one:
        names = ("num_jobs_submitted", "num_jobs_gathered", "timeout", "time_left", "is_master")
        assert [getattr(one, name) for name in names] == [0, 0, None, None, True]
    assert Evaluator.FAIL_RETURN_VALUE == "F"
    assert hasattr(Evaluator, "NEST_ASYNCIO_PATCHED")
    assert Evaluator.PYTHON_EXE
    assert inspect.iscoroutinefunction(Evaluator.execute)
    assert callable(Evaluator.set_event_loop)
    assert callable(Evaluator.set_maximum_num_jobs_submitted)


def test_names_of_the_other_modules() -> None:
    for name in ("Job", "Storage", "SharedMemoryStorage"):
        assert isinstance(getattr(evaluator, name), type)
    assert profile is evaluator.profile
    assert issubclass(callbacks.TqdmCallback, callbacks.Callback)
    parameters = inspect.signature(CBO).parameters
    assert {"problem", "evaluator", "multi_point_strategy", "random_state"} <= set(parameters)
    for name in (
        "plot_search_trajectory_single_objective_hpo",
        "plot_worker_utilization",
        "figure_size",
    ):
        assert callable(getattr(plot, name))

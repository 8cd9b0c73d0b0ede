"""The table: for each public way in, arguments that work, and values that do not.

An entry is called with its good arguments, one of which is replaced by a wrong value. What is
raised must be the caller's fault (`ConfigurationError`), and name the argument.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

import hpdist
from hpdist.core.run.finished_jobs import FinishedJob
from hpdist.multi_fidelity import Asha, Custom, Hyperband, SingleFidelity, SuccessiveHalving
from hpdist.optimizers import RandomSearch, Sobol

HUGE = 10**5000
"""No float holds it, and Python refuses to print it."""


class Unprintable:
    """A value that can be neither shown, compared, nor asked whether it is true."""

    def __repr__(self) -> str:
        raise RuntimeError("no")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no")

    def __bool__(self) -> bool:
        raise RuntimeError("no")

    __hash__ = None  # type: ignore[assignment]


ODD: tuple[Any, ...] = ([1], {}, {1}, b"5", Unprintable(), np.array([1, 2]), int, print)
NO_NUMBER: tuple[Any, ...] = (*ODD, "5", True, math.nan, HUGE, -HUGE)
NO_WHOLE: tuple[Any, ...] = (*NO_NUMBER, 1.5, math.inf, 2**64, Fraction(1, 3))
NO_COUNT: tuple[Any, ...] = (*NO_WHOLE, 0, -1)
NO_SECONDS: tuple[Any, ...] = (*NO_NUMBER, -1, 1e12, -math.inf)
NO_FLAG: tuple[Any, ...] = ([1], {}, "yes", 0, 1, Unprintable())
NO_WORD: tuple[Any, ...] = (*ODD, "no such word", "", 5)
NO_PATH: tuple[Any, ...] = ([1], {}, 5, Unprintable(), "", "a\0b", "x" * 300, "\ud800", b"x")
NO_NAME: tuple[Any, ...] = ([1], 5, Unprintable(), "", "a\nb", "\x1b[31m", "x" * 300, "\ud800", " ")
NO_FUNCTION: tuple[Any, ...] = ([1], {}, "f", 5, int, Unprintable())
NO_LIST: tuple[Any, ...] = (5, "ab", {"a": 1}, Unprintable(), np.array(5))
NO_BUDGET: tuple[Any, ...] = (*NO_NUMBER, 0, -1, math.inf)
NO_RUN: tuple[Any, ...] = (*NO_NAME[:1], None, "", "../x", "a/b", "-a", "a\n", "ä", "x" * 65, "a b")
NO_PORT: tuple[Any, ...] = (*NO_WHOLE, -1, 65536)
NO_SPACE: tuple[Any, ...] = (
    *(None, 5, "x", [], {}, {"": 1}, {5: (0, 1)}, {"a\nb": (0, 1)}, {"x": (1, 0)}, {"x": (0,)}),
    *({"x": []}, {"x": [1, 1]}, {"x": math.nan}, {"x": object()}, {"x": {1, 2}}, {"x": range(3)}),
    *({"x": hpdist.Float}, {"x": (0, math.inf)}, {"x": (0, 1e300)}, {"x": np.array(5)}),
    *({"x": (0, HUGE)}, {"x" * 300: (0, 1)}, {"x": ["\ud800"]}, {"x": [2**70, 1]}),
)


@dataclass(frozen=True)
class Entry:
    """A way in.

    Attributes
    ----------
    call
        Called with ``good``.
    wrong
        Values by argument; the message names the argument, or what ``said`` has for it.
    """

    call: Callable[..., Any]
    good: Mapping[str, Any]
    wrong: Mapping[str, Sequence[Any]]
    said: Mapping[str, str] = field(default_factory=dict)


def bowl(config: dict[str, Any], budget: float = 1.0) -> float:
    return float(config["x"] ** 2)


def ignore(value: object) -> None:
    """Do nothing with a result."""


SPACE = {"x": (-1.0, 1.0), "k": [1, 2]}
GOOD = {"x": 0.5, "k": 1}
HERE: dict[str, Any] = {"working_directory": "runs"}


def search(**changes: Any) -> Any:
    usual = {"n_trials": 1, "run": "runs/r", "executor": "serial", "progress": "none"}
    return hpdist.minimize(**{"objective": bowl, "space": SPACE, **usual, **changes})


def study(**changes: Any) -> hpdist.Study:
    return hpdist.Study(**{"space": SPACE, **changes})


def tell(**changes: Any) -> None:
    one = study()
    asked = one.ask()
    assert asked is not None
    one.tell(**{"evaluation": asked, "loss": 1.0, **changes})
    one.describe("r")


def master(**changes: Any) -> hpdist.Master:
    made = {
        "run_id": "r",
        "optimizer": RandomSearch(hpdist.Space.of(SPACE)),
        "iter_generator": Hyperband(1, 3),
    }
    return hpdist.Master(**{**made, **HERE, "nameserver": None, **changes})


def of_master(method: str) -> Callable[..., Any]:
    def call(**arguments: Any) -> Any:
        with master(working_directory="held") as made:
            return getattr(made, method)(**arguments)

    return call


def dispatcher(**changes: Any) -> hpdist.Dispatcher:
    return hpdist.Dispatcher(**{"new_result_callback": ignore, **HERE, **changes})


def of_dispatcher(method: str) -> Callable[..., Any]:
    return lambda **arguments: getattr(dispatcher(), method)(**arguments)


def worker(**changes: Any) -> hpdist.Worker:
    return hpdist.Worker(**{"run_id": "r", **changes})


def of_worker(method: str) -> Callable[..., Any]:
    return lambda **arguments: getattr(worker(), method)(**arguments)


def of_space(method: str) -> Callable[..., Any]:
    return lambda **arguments: getattr(hpdist.Space.of(SPACE), method)(**arguments)


LIMITS: dict[str, Sequence[Any]] = {
    "n_iterations": (*NO_WHOLE, -1),
    "n_trials": (*NO_WHOLE, -1),
    "n_evaluations": (*NO_WHOLE, -1),
    "max_cost": (*NO_NUMBER, -1, math.inf),
    "target_loss": (*NO_NUMBER, math.inf),
}
ATTEMPTS: dict[str, Sequence[Any]] = {
    "job_timeout": (*NO_SECONDS, 0, math.inf),
    "memory_limit": NO_COUNT,
    "isolation": (*NO_WORD, None),
    "prefetch": (*NO_WHOLE, -1, None),
}
NO_GENERATOR: tuple[Any, ...] = (*ODD, 5, "hyperband", Hyperband)
NO_OPTIMIZER: tuple[Any, ...] = (
    *(*ODD, None, 5, "magic", RandomSearch),
    RandomSearch(hpdist.Space.of({"y": (0.0, 1.0)})),
)
NO_CONFIGS: tuple[Any, ...] = (
    *(*NO_LIST, None, [5], ["x"], [{"x": 0.5}], [{"x": 0.5, "k": 3}], [{"x": math.nan, "k": 1}]),
    *([{"x": "0.5", "k": 1}], [{"x": HUGE, "k": 1}], [{"x": [1], "k": 1}], [{**GOOD, "z": 1}]),
    [{"x": Unprintable(), "k": 1}],
)
NO_RULE: tuple[Any, ...] = (*ODD, 5, "medina", hpdist.Study, [])
NO_OBJECTIVES: tuple[Any, ...] = (
    *(*NO_LIST, None, [], ["latency"], ["latency", "loss"], ["loss", "loss"], ["loss", 5]),
    *(["loss", ""], ["loss", "cost"], ["loss", "info"], [Unprintable()]),
)
STUDY: dict[str, Sequence[Any]] = {
    "seed": (*NO_WHOLE[:-2], -1, None, 2**128),
    "initial_configs": NO_CONFIGS,
    "optimizer": NO_OPTIMIZER,
    "early_stopping": NO_RULE,
    "objectives": NO_OBJECTIVES,
}
STUDY_SAID = {
    "initial_configs": "initial_configs|configuration|missing|must be|no parameter",
    "optimizer": "no optimizer|another space",
    "early_stopping": "is no rule",
    "objectives": "objectives",
    "space": "space|hyperparameter|x: |x'",
    "iter_generator": "no iteration generator",
}
BUDGETS: dict[str, Sequence[Any]] = {
    "min_budget": (*NO_BUDGET, None, 99),
    "max_budget": (*NO_BUDGET, None, 0.5),
    "eta": (*NO_NUMBER, None, 1, 1.99, -3, math.inf, 1e300),
}
RANGE: dict[str, Sequence[Any]] = {
    "low": (*NO_NUMBER, None, math.inf, 5, 9),
    "high": (*NO_NUMBER, None, math.inf, 1, 0),
    "log": (*NO_FLAG, None),
    "default": (*NO_NUMBER, "a", 99),
}
RANGE_SAID = {"low": "bound", "high": "bound"}
NO_CHOICES: tuple[Any, ...] = (
    *(5, "ab", {}, {1}, Unprintable(), np.array(5), None, [], [1, 1], [1, True], [math.nan]),
    *([[1]], [{}], [Unprintable()], [HUGE], ["\ud800"], [math.inf], range(20_000)),
)
FINISHED = FinishedJob((0, 0, 0), {})

ENTRIES: dict[str, Entry] = {
    "minimize": Entry(
        search,
        {},
        {
            "objective": (
                *(*ODD[:-2], None, 5, int, "", "f", "nowhere:f", "no/such.py:f", "a\0.py:f"),
                *(
                    lambda: 1,
                    lambda a, b, c, d: 1,
                    "hpdist.cli.demo_objective:nothing",
                    "..:f",
                    "os:a b",
                ),
                *(lambda config, *, k: 1, lambda config, ctx: 1),
            ),
            "space": NO_SPACE,
            "min_budget": (*NO_BUDGET, 1),
            "max_budget": (*NO_BUDGET, 9),
            "eta": (*NO_NUMBER, None, 1, 1.99),
            "iter_generator": (*NO_GENERATOR, Asha),
            **LIMITS,
            "time_limit": (*NO_SECONDS, 0),
            "workers": (*NO_COUNT, 2),
            "executor": (*ODD, 5, None, "magic", "mpi"),
            "address": (*ODD, 5, "", "tcp://nowhere:1"),
            "resources": (
                *(odd for odd in ODD[2:]),
                5,
                [1],
                "GPU=1",
                {1: 2},
                {"GPU": "a"},
                {"GPU": -1},
                {"GPU": 1},
            ),
            "run": NO_PATH,
            "resume": (*NO_WORD, None, "must"),
            **STUDY,
            **ATTEMPTS,
            "warm_start": (5, [3], "nowhere", {}, [{}], b"x", None, Unprintable()),
            "callbacks": (*NO_LIST, None, print, [3], ["f"], [int]),
            "progress": (*NO_WORD, None),
            "on_change": (*NO_WORD, None),
            "retry_failed": (*NO_FLAG, None),
            "timing": (5, {}),
            "retry": (5, {}),
            "grace": (*NO_SECONDS, math.inf, None),
            "max_iter": (5,),
        },
        {
            **STUDY_SAID,
            "objective": "objective|no function|name",
            "min_budget": "min_budget",
            "run": "run directory",
            "executor": "executor",
            "address": "address",
            "resources": "resource",
            "resume": "resume",
            "warm_start": "warm start|nowhere",
            "callbacks": "callback",
            "workers": "workers",
            "prefetch": "prefetch",
            "max_iter": "has no option 'max_iter'",
        },
    ),
    "Study": Entry(
        study,
        {},
        {
            "space": NO_SPACE,
            "iter_generator": NO_GENERATOR,
            **STUDY,
            "limits": (*ODD, 5, "x"),
            "direction": (*NO_WORD, None),
            "warm_start": (
                *(*NO_LIST, None, [5], [{}], [{"config": GOOD}], [{"config": 5, "budget": 1}]),
                *([{"config": GOOD, "budget": "1"}], [{"config": GOOD, "budget": math.nan}]),
                *([{"config": GOOD, "budget": 0}], [{"config": GOOD, "budget": HUGE}]),
                *([{"config": {"y": 1}, "budget": 1}],),
                [{"config": GOOD, "budget": 1, "loss": "0"}],
            ),
        },
        {**STUDY_SAID, "warm_start": "warm_start|observation|configuration|no parameter"},
    ),
    "Study.tell": Entry(
        tell,
        {},
        {
            "evaluation": (None, 5, "x", {}, Unprintable()),
            "loss": (*NO_NUMBER, math.inf, "0.5", 1j),
            "cost": (*NO_NUMBER, math.inf),
            "info": (object(), HUGE, [object()], {(1, 2): 3}, {"a": {"b": print}}),
        },
    ),
    "Space": Entry(hpdist.Space, {}, {"space": NO_SPACE[:4]}),
    "Space.of": Entry(hpdist.Space.of, {}, {"space": NO_SPACE}, STUDY_SAID),
    "Space.from_json": Entry(
        hpdist.Space.from_json,
        {},
        {
            "data": (
                *(None, 5, "x", [], {}, {"hyperparameters": 5}, {"hyperparameters": [{}]}),
                *({"format_version": 99}, {"hyperparameters": [{"type": "magic", "name": "x"}]}),
            )
        },
        {"data": "space|ConfigSpace"},
    ),
    "Space.sample": Entry(
        of_space("sample"), {}, {"rng": (None, 5, "x", np.random, Unprintable())}
    ),
    "Space.active": Entry(
        of_space("active"),
        {},
        {"config": ({"x": 0.5, "k": 9}, {"x": "no", "k": 1})},
        {"config": "must be|k=9"},
    ),
    "Space.encode": Entry(
        of_space("encode"),
        {},
        {"configs": (*NO_LIST, [5], [{"y": 1}], [{"k": 3}])},
        {"configs": "configs|configuration|no parameter|k=3"},
    ),
    "Space.check": Entry(
        of_space("check"),
        {},
        {"config": (5, None, [], "x", {}, {"x": 0.5}, {**GOOD, 5: 1}, {"x": None, "k": 1})},
        {"config": "configuration|missing|no parameter|must be"},
    ),
    "Float": Entry(hpdist.Float, {"low": 1, "high": 5}, RANGE, RANGE_SAID),
    "Int": Entry(
        hpdist.Int,
        {"low": 1, "high": 5},
        {**RANGE, "high": (*RANGE["high"], 2**60, 4.5)},
        RANGE_SAID,
    ),
    "Categorical": Entry(
        hpdist.Categorical,
        {"choices": ["a", "b"]},
        {
            "choices": NO_CHOICES,
            "weights": (
                *(5, "ab", {}, [1], [1, 2, 3], [1, -1], [0, 0], [1, "1"], [1, math.nan]),
                *([1, math.inf], [1, HUGE], [1e308, 1e308], [True, True], Unprintable()),
            ),
            "default": ("c", 5, [], Unprintable(), HUGE),
        },
        {"choices": "Categorical"},
    ),
    "Ordinal": Entry(
        hpdist.Ordinal,
        {"values": ["a", "b"]},
        {"values": NO_CHOICES, "default": ("c", 5, [], Unprintable())},
        {"values": "Ordinal"},
    ),
    "Constant": Entry(
        hpdist.Constant,
        {},
        {"value": ([1], {}, math.nan, math.inf, HUGE, object(), int, Unprintable(), "\ud800", b"")},
        {"value": "Constant"},
    ),
    "Limits": Entry(hpdist.Limits, {}, LIMITS),
    "Retry": Entry(
        hpdist.Retry,
        {},
        {
            **dict.fromkeys(("max_crashes", "max_losses"), (*NO_COUNT, None)),
            **dict.fromkeys(("exceptions", "invalid", "timeouts", "memory"), (*NO_WHOLE, -1, None)),
        },
    ),
    "MedianRule": Entry(
        hpdist.MedianRule,
        {},
        {
            "min_steps": (*NO_WHOLE, -1, None),
            "min_trials": (*NO_COUNT, None),
        },
    ),
    "RungRule": Entry(
        hpdist.RungRule,
        {},
        {
            "first": (*NO_COUNT, None),
            "eta": (*NO_NUMBER, 1, 0, -3, None, math.inf),
        },
    ),
    "Timing": Entry(
        hpdist.Timing,
        {},
        {
            **dict.fromkeys(("lease_s", "closed_s", "backoff_s"), (*NO_SECONDS, 0, None, math.inf)),
            **dict.fromkeys(("heartbeat_s", "poll_s"), (*NO_SECONDS, 0, None, math.inf, 3601)),
        },
    ),
    "Success": Entry(
        hpdist.Success,
        {"loss": 1.0},
        {"loss": (*NO_NUMBER, None, math.inf), "cost": (*NO_NUMBER, math.inf)},
    ),
    "Failure": Entry(
        hpdist.Failure,
        {"kind": hpdist.FailureKind.CRASH, "message": "m"},
        {
            "kind": (None, "crash", 5, Unprintable()),
            "message": (None, 5, [], Unprintable()),
            "traceback": (None, 5),
        },
    ),
    "Trial": Entry(
        hpdist.Trial,
        {"trial_id": 0, "config_id": (0, 0, 0), "config": {}},
        {
            "trial_id": (*NO_WHOLE, -1, None),
            "config_id": (None, 5, "abc", (1, 2), (1, 2, -3), (1, 2, "3"), [1, 2, 3]),
            "config": (None, 5, [], "x"),
            "config_info": (None, 5, []),
        },
    ),
    "Job": Entry(
        hpdist.Job,
        {"job_id": 0, "trial_id": 0, "budget": 1.0},
        {
            **dict.fromkeys(("job_id", "trial_id", "bracket", "rung"), (*NO_WHOLE, -1, None)),
            "budget": (*NO_BUDGET, None),
            "worker": (5, []),
            "retry_of": (*NO_WHOLE, -1),
        },
    ),
    "transfer": Entry(
        hpdist.transfer,
        {"sources": [], "space": SPACE},
        {
            "sources": (5, [3], "nowhere", {}, [{}], b"x", None, Unprintable()),
            "space": NO_SPACE,
            "defaults": (5, "x", [3], Unprintable()),
            "direction": (*NO_WORD,),
        },
        {"sources": "warm start|journal|run", "space": "space|hyperparameter|x: |x'"},
    ),
    "Results.read": Entry(hpdist.Results.read, {}, {"path": (*NO_PATH, None)}, {"path": "path"}),
    "NameServer": Entry(
        hpdist.NameServer,
        {"run_id": "r"},
        {
            "run_id": (*NO_RUN, 5),
            "working_directory": NO_PATH,
            "host": NO_NAME[:2] + NO_NAME[4:],
            "port": (*NO_PORT, None),
            "nic_name": NO_NAME[:2] + NO_NAME[4:],
        },
        {"run_id": "cannot name a run"},
    ),
    "Dispatcher": Entry(
        dispatcher,
        {},
        {
            "new_result_callback": (*NO_FUNCTION, None),
            "run_id": NO_RUN,
            "ping_interval": (*NO_SECONDS, 0, None),
            "nameserver": NO_NAME,
            "nameserver_port": (*NO_PORT, 0),
            "host": NO_NAME[:2] + NO_NAME[4:],
            "queue_callback": NO_FUNCTION,
            "working_directory": NO_PATH,
            "nic_name": NO_NAME[:2] + NO_NAME[4:],
            "port": (*NO_PORT, None),
            "timing": (5, {}, "30", hpdist.Timing),
            "retry": (5, {}, hpdist.Retry),
            "executor": (5, "magic", object()),
            "colour": (5,),
        },
        {"run_id": "cannot name a run", "colour": "has no option 'colour'"},
    ),
    "Dispatcher.submit_job": Entry(
        of_dispatcher("submit_job"),
        {"id": "a", "config": {"x": 1}},
        {
            "id": ([1], {}, {1}),
            "config": (None, 5, "x", [], {"x": object()}, {"x": math.nan}, {5: object()}),
            "budget": NO_BUDGET,
            "config_info": (object(), [math.nan]),
        },
        {"id": "hashable", "config": "config|JSON", "config_info": "JSON"},
    ),
    "Dispatcher.wait_until_ready": Entry(
        of_dispatcher("wait_until_ready"), {}, {"timeout": (*NO_SECONDS, math.inf)}
    ),
    "Dispatcher.control": Entry(
        of_dispatcher("control"),
        {"command": "pause"},
        {"command": (None, 5, "magic", ""), "jobs": (5, "a", [1], ["a"])},
        {"command": "command", "jobs": "jobs"},
    ),
    "Master": Entry(
        master,
        {},
        {
            "run_id": NO_RUN,
            "optimizer": NO_OPTIMIZER[:-1],
            "iter_generator": (*NO_GENERATOR, None),
            "progress_callback": NO_FUNCTION,
            "checkpoint_file": NO_PATH,
            "checkpoint_freq": (*NO_COUNT, None),
            "working_directory": (*NO_PATH, None),
            "ping_interval": (*NO_SECONDS, 0, None),
            "time_left_for_this_task": (*NO_SECONDS, None),
            "nameserver": NO_NAME,
            "nameserver_port": (*NO_PORT, 0),
            "host": NO_NAME[:2] + NO_NAME[4:],
            "shutdown_workers": (*NO_FLAG, None),
            "job_queue_sizes": (*NO_LIST, None, (1,), (1, 2, 3), ("a", "b"), (0, 0), (5, 1)),
            "dynamic_queue_size": (*NO_FLAG, None),
            "result_logger": NO_FUNCTION,
            "previous_result": (5, "nowhere", [3], {}),
            "incumbents": (5, [], "x", {"a": {}}, {math.nan: {}}),
            "incumbent_performances": (5, [], {"a": 1}),
            "space": NO_SPACE[1:],
            "seed": STUDY["seed"],
            "direction": (*NO_WORD, None),
            "initial_configs": NO_CONFIGS,
            "early_stopping": NO_RULE,
            "objectives": NO_OBJECTIVES,
            "worker_timeout": (*NO_SECONDS, None),
            "grace": (*NO_SECONDS, math.inf, None),
            "logger": (5, "x", print),
            "objective": (5, None, []),
            "on_change": (*NO_WORD, None),
            "observers": (*NO_LIST, None),
            "port": (*NO_PORT, None),
            "nic_name": NO_NAME[:2] + NO_NAME[4:],
            "timing": (5, {}),
            "retry": (5, {}),
            **{name: LIMITS[name] for name in LIMITS if name != "n_iterations"},
            "executor": (*ODD, 5, "process"),
            "resume": (*NO_WORD, None, "must"),
            "colour": (5,),
        },
        {
            **STUDY_SAID,
            "run_id": "cannot name a run",
            "optimizer": "no optimizer|no attribute space",
            "previous_result": "warm start|nowhere",
            "incumbents": "incumbents|a budget",
            "resume": "resume",
            "colour": "has no option 'colour'",
        },
    ),
    "Master.run": Entry(
        of_master("run"),
        {},
        {
            "n_iterations": (*NO_WHOLE, -1, None),
            "min_n_workers": (*NO_WHOLE, -1, None),
            "iteration_kwargs": (5, [1], "x", {"a": object()}, {"a": 1}, {5: 1}, {"a": math.nan}),
        },
    ),
    "Master.wait_for_workers": Entry(
        of_master("wait_for_workers"), {}, {"min_n_workers": (*NO_WHOLE, -1, None)}
    ),
    "Master.adjust_queue_size": Entry(
        of_master("adjust_queue_size"),
        {},
        {"number_of_workers": (*NO_WHOLE, -1)},
        {"number_of_workers": "number of workers"},
    ),
    "Worker": Entry(
        worker,
        {},
        {
            "run_id": NO_RUN,
            "nameserver": NO_NAME,
            "nameserver_port": (*NO_PORT, 0),
            "host": NO_NAME,
            "worker_id": ("", "a\nb", "x" * 300, "\x1b[31m"),
            "timeout": NO_SECONDS,
            "debug": (*NO_FLAG, None),
            "logger": (5, "x"),
            **ATTEMPTS,
            "device": (None, 5, []),
            "directory": NO_PATH,
            "carry_over": (*NO_FLAG, None),
            "reconnect_timeout": (*NO_SECONDS, None),
        },
        {"run_id": "cannot name a run"},
    ),
    "Worker.initialize": Entry(
        of_worker("initialize"),
        {},
        {"eval_func": (None, 5, int, "f", "nowhere:f", lambda: 1)},
        {"eval_func": "objective|no function"},
    ),
    "Worker.load_nameserver_credentials": Entry(
        of_worker("load_nameserver_credentials"),
        {"working_directory": ".", "num_tries": 1, "interval": 0},
        {
            "working_directory": (*NO_PATH, None),
            "num_tries": (*NO_COUNT, None),
            "interval": (*NO_SECONDS, math.inf, None),
        },
    ),
    "Worker.run": Entry(of_worker("run"), {}, {"concurrent_type": (*NO_WORD, None)}),
    "Worker.start_computation": Entry(
        of_worker("start_computation"),
        {"callback": None, "config_id": (0, 0, 0)},
        {"callback": (None, 5, print, Unprintable())},
    ),
    "RandomSearch": Entry(RandomSearch, {}, {"space": NO_SPACE}, STUDY_SAID),
    "Sobol": Entry(Sobol, {"space": SPACE}, {"space": NO_SPACE, "seed": STUDY["seed"]}, STUDY_SAID),
    "Hyperband": Entry(
        Hyperband,
        {"min_budget": 1, "max_budget": 9},
        {**BUDGETS, "rounding": (*NO_WORD, None)},
        {"max_budget": "max_budget"},
    ),
    "SuccessiveHalving": Entry(
        SuccessiveHalving,
        {"min_budget": 1, "max_budget": 9},
        {**BUDGETS, "num_configs": (*NO_COUNT, 8, 10**13)},
    ),
    "Asha": Entry(Asha, {"min_budget": 1, "max_budget": 9}, BUDGETS),
    "SingleFidelity": Entry(
        SingleFidelity, {}, {"budget": (*NO_BUDGET, None), "num_configs": (*NO_COUNT, None)}
    ),
    "Custom": Entry(
        Custom,
        {"num_configs": [9, 3], "budgets": [1, 3]},
        {
            "num_configs": (*NO_LIST, None, [], [9], [3, 9], [[9], 3], ["9", "3"], [9, math.nan]),
            "budgets": (*NO_LIST, None, [], [1], [3, 1], [3, 3], [0, 1], [1, math.inf], [[1], [3]]),
        },
        {"num_configs": "num_configs", "budgets": "budgets|brackets"},
    ),
    "Hyperband.plan": Entry(
        Hyperband(1, 9).plan, {}, {"n_iterations": (*NO_WHOLE, -1, 10**9, None)}
    ),
    "Hyperband.num_all_configs": Entry(
        Hyperband(1, 9).num_all_configs, {}, {"n_iterations": (*NO_WHOLE, -1, None)}
    ),
    "Hyperband.get_next_iteration": Entry(
        Hyperband(1, 9).get_next_iteration,
        {"iteration": 0},
        {"iteration": (*NO_WHOLE, -1, None), "colour": (5,)},
    ),
}
ENTRIES["maximize"] = Entry(
    lambda **changes: hpdist.maximize(
        **{"objective": bowl, "space": SPACE, "n_trials": 1, "run": "runs/r", **changes}
    ),
    {"executor": "serial", "progress": "none"},
    ENTRIES["minimize"].wrong,
    ENTRIES["minimize"].said,
)

#: Public names and methods without rows, each with the reason.
EXEMPT = {
    "__version__": "text",
    "HpdistError": "made by hpdist itself",
    "FailureKind": "Python's own enumeration, which refuses unknown values",
    "Context": "made by the runner; what an objective gives it is checked in test_context",
    "Results": "made by read and from_records",
    "Results.from_records": "takes what a journal gave",
    "Results.to_frame": "a flag for a view",
    "Results.hypervolume": "numbers are checked in test_several_objectives",
    "Study.stops_early": "asked by the loop for jobs that run",
    **{
        f"{rule}.{method}": "called by the study with what it has checked"
        for rule in ("MedianRule", "RungRule")
        for method in ("report", "finished", "stops", "describe")
    },
    "Study.propose": "no argument",
    "Study.withdraw": "called by the loop with the jobs of a checked command",
    "Study.apply": "takes what the study proposed, or a journal gave",
    "Study.describe": "run ids are checked where directories are made",
    "Study.payload": "numbers of the study's own jobs",
    "Study.retryable": "numbers of jobs; unknown ones are ignored, as test_study_ask_tell shows",
    "Space.from_unit": "points of optimizers, in the innermost loop",
    "Space.deactivate": "points of optimizers, in the innermost loop",
    "Space.difference": "takes what to_json gave",
    "Dispatcher.post": "events of hpdist's own",
    "Dispatcher.register_result": "an unknown id is answered by False, any result is normalised",
    "Dispatcher.shutdown": "a flag",
    "Dispatcher.shutdown_all_workers": "a flag",
    "Master.get_next_iteration": "the generator's own, checked there",
    "Master.job_callback": "called by hpdist",
    "Master.shutdown": "a flag",
    "Worker.compute": "overridden by the user",
    "Worker.leave": "called by hpdist",
    "Worker.wait": "checked as Dispatcher.wait_until_ready is, where a thread runs",
    **{
        f"{name}.{method}": "plumbing of Space, which checks what it passes on"
        for name in ("Float", "Int", "Categorical", "Ordinal", "Constant")
        for method in ("at", "position", "accept")
    },
}

#: Arguments of entries without wrong values, each with the reason.
ANYTHING_GOES = {
    ("Study", "next_iteration"): "given by Master only",
    ("Success", "info"): "checked where results come in: normalise, wire and journal",
    **{
        ("Dispatcher", name): "given by Master only"
        for name in ("work", "instance", "observers", "number_of")
    },
    ("Worker.run", "background"): "a flag",
    ("Worker.start_computation", "config_id"): "the caller's own name for it",
}


def cases() -> Iterator[tuple[str, str, int]]:
    """(entry, argument, which wrong value) of the whole table."""
    for name, entry in ENTRIES.items():
        for argument, values in entry.wrong.items():
            for index in range(len(values)):
                yield name, argument, index


def path_below_a_file() -> str:
    Path("file").write_text("x")
    return "file/below"

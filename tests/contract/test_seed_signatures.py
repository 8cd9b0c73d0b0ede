"""The names that the seed of a master, its dispatcher and its workers promises, with signatures."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

from hpdist import Dispatcher, Master, NameServer, Worker
from hpdist.cluster import dispatcher
from hpdist.cluster.transport.address import nic_name_to_host

REQUIRED = inspect.Parameter.empty

Table = dict[str, Any]

SIGNATURES: list[tuple[Callable[..., Any], Table]] = [
    (
        NameServer,
        {"run_id": REQUIRED, "working_directory": None, "host": None, "port": 0, "nic_name": None},
    ),
    (NameServer.start, {}),
    (NameServer.shutdown, {}),
    (nic_name_to_host, {"nic_name": REQUIRED}),
    (
        Dispatcher,
        {
            "new_result_callback": REQUIRED,
            "run_id": "0",
            "ping_interval": 10,
            "nameserver": "localhost",
            "nameserver_port": None,
            "host": None,
            "queue_callback": None,
        },
    ),
    (Dispatcher.run, {}),
    (Dispatcher.submit_job, {"id": REQUIRED, "kwargs": REQUIRED}),
    (Dispatcher.register_result, {"id": None, "result": None}),
    (Dispatcher.number_of_workers, {}),
    (Dispatcher.discover_workers, {}),
    (Dispatcher.trigger_discover_worker, {}),
    (Dispatcher.job_runner, {}),
    (Dispatcher.shutdown, {"shutdown_workers": False}),
    (Dispatcher.shutdown_all_workers, {"rediscover": False}),
    (dispatcher.Worker.is_alive, {}),
    (dispatcher.Worker.is_busy, {}),
    (dispatcher.Worker.shutdown, {}),
    (
        Master,
        {
            "run_id": REQUIRED,
            "optimizer": REQUIRED,
            "iter_generator": REQUIRED,
            "progress_callback": None,
            "checkpoint_file": None,
            "checkpoint_freq": 1,
            "working_directory": ".",
            "ping_interval": 60,
            "time_left_for_this_task": math.inf,
            "nameserver": "127.0.0.1",
            "nameserver_port": None,
            "host": None,
            "shutdown_workers": True,
            "job_queue_sizes": (-1, 0),
            "dynamic_queue_size": True,
            "result_logger": None,
            "previous_result": None,
            "incumbents": None,
            "incumbent_performances": None,
        },
    ),
    (Master.run, {"n_iterations": 1, "min_n_workers": 1, "iteration_kwargs": None}),
    (Master.wait_for_workers, {"min_n_workers": 1}),
    (Master.active_iterations, {}),
    (Master.adjust_queue_size, {"number_of_workers": None}),
    (Master.get_next_iteration, {"iteration": REQUIRED, "iteration_kwargs": REQUIRED}),
    (Master.job_callback, {"job": REQUIRED}),
    (Master.shutdown, {"shutdown_workers": False}),
    (
        Worker,
        {
            "run_id": REQUIRED,
            "nameserver": None,
            "nameserver_port": None,
            "host": None,
            "worker_id": None,
            "timeout": None,
            "debug": False,
        },
    ),
    (Worker.initialize, {"eval_func": REQUIRED}),
    (
        Worker.load_nameserver_credentials,
        {"working_directory": REQUIRED, "num_tries": 60, "interval": 1},
    ),
    (Worker.run, {"background": False, "concurrent_type": "thread"}),
    (
        Worker.compute,
        {
            "config_id": REQUIRED,
            "config": REQUIRED,
            "config_info": REQUIRED,
            "budget": REQUIRED,
            "working_directory": REQUIRED,
        },
    ),
    (
        Worker.start_computation,
        {"callback": REQUIRED, "config_id": REQUIRED, "args": REQUIRED, "kwargs": REQUIRED},
    ),
    (Worker.is_busy, {}),
    (Worker.shutdown, {}),
]


def parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    if inspect.isclass(function):
        function = function.__init__  # a class with __new__ would show that one's
    found = inspect.signature(function).parameters.values()
    return [each for each in found if each.name != "self"]


def test_the_seed_signatures_are_kept() -> None:
    for function, promised in SIGNATURES:
        found = parameters(function)
        ours = [p for p in found if p.kind is not p.KEYWORD_ONLY and p.name in promised]
        assert [(p.name, p.default) for p in ours] == list(promised.items()), function


def test_what_is_added_to_them_is_optional_and_named() -> None:
    for function, promised in SIGNATURES:
        added = [p for p in parameters(function) if p.name not in promised]
        assert all(p.kind in (p.KEYWORD_ONLY, p.VAR_KEYWORD) for p in added), function
        assert all(p.default is not REQUIRED for p in added if p.kind is p.KEYWORD_ONLY), function


def test_a_worker_class_shows_the_parameters_of_its_constructor() -> None:
    class Loaded(Worker):
        def __init__(self, run_id: str, data: str, **options: Any) -> None:
            super().__init__(run_id, **options)

    shown = {kind: list(inspect.signature(kind).parameters) for kind in (Worker, Loaded)}
    assert shown[Worker] == list(inspect.signature(Worker.__init__).parameters)[1:]
    assert shown[Worker][:2] == ["run_id", "nameserver"]
    assert shown[Loaded] == ["run_id", "data", "options"]


def test_a_record_of_a_worker_is_made_from_its_name_and_uri() -> None:
    handle = dispatcher.Worker("node7-12-0", "PYRO:hpdist@127.0.0.1:4711")
    assert (handle.name, handle.uri) == ("node7-12-0", "PYRO:hpdist@127.0.0.1:4711")
    assert not handle.is_alive()
    assert not handle.is_busy()
    handle.shutdown()

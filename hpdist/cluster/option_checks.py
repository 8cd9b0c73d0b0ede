"""Checks of the arguments of masters, workers and dispatchers."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from hpdist.cluster.discovery import RunAddress
from hpdist.cluster.transport.address import check_listening
from hpdist.core.journal.run_names import check_run_id
from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.option_declaration import option_of
from hpdist.core.model.validation import (
    check_callable,
    check_flag,
    check_kind,
    check_list,
    check_name,
    check_path,
    check_seconds,
    check_whole,
    maybe,
    short_repr,
)
from hpdist.core.objective.limits import check_enforceable
from hpdist.core.objective.multi_objective import check_objectives
from hpdist.core.run.executor_names import check_executor_object
from hpdist.core.run.options import FIELDS, EvaluationOptions, RunOptions, check_names, take

#: Option names by the names of the arguments of `Master`, where the two differ.
SEED_NAMES = {
    option_of(each).master: name for name, each in FIELDS.items() if option_of(each).master
}

#: Options that a dispatcher passes on to its loop.
LOOP_OPTIONS = (
    "observers",
    "queue_sizes",
    "time_limit_s",
    "grace_s",
    "stay",
    "waiting",
    "shut_down_workers",
    "on_start",
)


def _check_timeout(name: str, value: Any) -> None:
    check_seconds(name, value, zero=True, infinite=True, do=f"{name}=60")


_MASTER: dict[str, Callable[[str, Any], Any]] = {
    "working_directory": check_path,
    "checkpoint_file": partial(maybe, check_path),
    "checkpoint_freq": partial(check_whole, minimum=1),
    "ping_interval": partial(check_seconds, infinite=True),
    "time_left_for_this_task": _check_timeout,
    "worker_timeout": _check_timeout,
    "shutdown_workers": check_flag,
    "objective": partial(check_kind, kind=str),
    "logger": partial(maybe, check_kind, kind=logging.Logger),
    "observers": check_list,
}

_WORKER: dict[str, Callable[[str, Any], Any]] = {
    "host": partial(maybe, check_name),
    "timeout": lambda name, value: None if value is None else _check_timeout(name, value),
    "debug": check_flag,
    "logger": partial(maybe, check_kind, kind=logging.Logger),
    "directory": partial(maybe, check_path),
    "carry_over": check_flag,
    "reconnect_timeout": _check_timeout,
}


def run_name(run_id: object) -> str:
    """Check a run id and return it as text; a whole number is accepted."""
    return check_run_id(str(run_id) if type(run_id) is int else run_id)


def check_master(given: Mapping[str, Any]) -> RunOptions:
    """Check the arguments that a master was given; return those that are options of a search."""
    known = [name for name in given if name not in ("self", "unknown")]
    check_names("Master", given["unknown"], known)
    _check_each(given, _MASTER)
    check_objectives(given["objectives"])
    check_listening(given["host"], given["nic_name"], given["port"])
    maybe(check_executor_object, "executor", given["executor"])
    RunAddress("0", given["nameserver"], given["nameserver_port"])
    options = {SEED_NAMES.get(name, name): value for name, value in given.items()}
    # The executor exists already, and the time limit counts from the start of `Master.run`.
    for name in ("executor", "callbacks", "time_limit"):
        del options[name]
    return RunOptions.of(options)


def check_worker(given: Mapping[str, Any]) -> None:
    """Check the arguments that a worker was given."""
    _check_each(given, _WORKER)
    chosen = take(EvaluationOptions, given)
    limits = {"job_timeout": chosen.job_timeout, "memory_limit": chosen.memory_limit}
    check_enforceable(chosen.isolation, limits)
    RunAddress("0", given["nameserver"], given["nameserver_port"])
    if given["worker_id"] is not None:
        check_name("worker_id", str(given["worker_id"]), longest=100)


def _check_each(given: Mapping[str, Any], checks: Mapping[str, Callable[[str, Any], Any]]) -> None:
    for name, check in checks.items():
        check(name, given[name])


def check_iteration_kwargs(master: Any, value: Any) -> dict[str, Any]:
    """Check the arguments of the next brackets by making one with them, and return a copy.

    They are kept in the journal, and brackets are made with them again at each resume.
    """
    if value is None or value == {}:
        return {}
    try:
        kept = json.loads(json.dumps(check_kind("iteration_kwargs", value, dict), allow_nan=False))
        if kept != value:
            raise ValueError("JSON does not keep them as they are")
        master.get_next_iteration(len(master.study.brackets), dict(kept))
    except ConfigurationError:
        raise
    except Exception as error:  # the iteration generator may be the caller's own
        raise ConfigurationError(
            f"no iteration can be made with iteration_kwargs={short_repr(value)}",
            cause=f"{type(error).__name__}: {error}",
            do="give what get_next_iteration takes, as values that JSON has",
        ) from error
    return dict(value)


def check_waiting(num_tries: object, interval: object) -> None:
    """Check a number of tries and the seconds between two of them."""
    check_whole("num_tries", num_tries, minimum=1)
    check_seconds("interval", interval, zero=True)


def register_of(callback: object) -> Any:
    """Return the method of ``callback`` that takes a result."""
    register = getattr(callback, "register_result", None)
    return check_callable("callback.register_result", register, "of (id, result)")

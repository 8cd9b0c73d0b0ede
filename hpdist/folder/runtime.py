"""`launch_runtime`: one process of a search in a folder, with a function of keyword arguments."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from hpdist.core.dispatch.executor import Executor
from hpdist.core.journal.run_directory import RunDirectory
from hpdist.core.journal.run_names import safe_run_id
from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.limits_and_timing import FOLDER_TIMING, Limits, Timing
from hpdist.core.model.payload import Payload
from hpdist.core.model.validation import (
    check_callable,
    check_kind,
    check_path,
    check_seconds,
    check_whole,
    maybe,
)
from hpdist.core.results.forecast import Forecast
from hpdist.core.results.progress_display import make_progress
from hpdist.core.run.definition import Search, space_of
from hpdist.core.run.local_run import LocalRun
from hpdist.core.run.resume import Opening
from hpdist.folder.election import RUNNING, TERMS, Election, is_dead
from hpdist.folder.participant import Participant, runners_of
from hpdist.folder.pipeline import PipelineObjective, check_names, trial_directory
from hpdist.folder.shared_state import SharedState
from hpdist.folder.trial import TrialDisk
from hpdist.multi_fidelity import SingleFidelity
from hpdist.optimizers import Optimizer

POLL_VARIABLE = "HPDIST_STATE_POLL"
"""Environment variable: maximum seconds between two polls for messages."""

TIMEOUT_VARIABLE = "HPDIST_STATE_TIMEOUT"
"""Environment variable: seconds after which a silent process counts as dead."""

Hook = Callable[[Mapping[str, Any], str, Path, Any, logging.Logger], object]


def launch_runtime(  # noqa: PLR0913 - a public signature
    *,
    evaluation_fn: Callable[..., float | Mapping[str, Any]],
    sampler: Optimizer,
    optimizer_info: dict[str, Any],
    optimization_dir: Path | str,
    max_evaluations_total: int | None = None,
    max_evaluations_per_run: int | None = None,
    continue_until_max_evaluation_completed: bool = False,
    logger: logging.Logger | None = None,
    post_evaluation_hook: Hook | None = None,
    overwrite_optimization_dir: bool = False,
    pre_load_hooks: Iterable[Callable[[Optimizer], Optimizer]] | None = None,
) -> None:
    """Work on the search in a directory, together with all processes that call this.

    Parameters
    ----------
    evaluation_fn
        Called with the configuration as keyword arguments, and with ``pipeline_directory`` and
        ``previous_pipeline_directory`` if it has arguments of these names. It returns the loss,
        or a mapping with ``loss`` and optionally ``cost`` and ``account_for_cost``.
    sampler
        An optimizer, built with its space; its attribute ``budget``, if any, bounds the sum of
        costs.
    optimizer_info
        Describes the search; it must be the same in all processes.
    max_evaluations_total
        Maximum number of configurations of all processes together; None for no limit.
    max_evaluations_per_run
        Maximum number of evaluations of this process; None for no limit.
    continue_until_max_evaluation_completed
        Has no effect: each evaluation that was started is completed, by another process if
        necessary, so that the numbers of started and completed evaluations are equal.
    post_evaluation_hook
        Called as ``hook(config, id, pipeline_dir, results, logger)`` in the process that
        evaluated; its exceptions are logged.
    overwrite_optimization_dir
        Start a new search; an existing directory is renamed, unless a process works in it.
    pre_load_hooks
        Each takes the optimizer and returns the one to use, before it gets any results.

    Raises
    ------
    RuntimeError
        If an argument of ``evaluation_fn`` has been renamed.
    ValueError
        If ``optimizer_info`` differs from the directory's.
    HpdistError
        If the search cannot be led, or evaluations are impossible.
    """
    check_names(check_callable("evaluation_fn", evaluation_fn, "of a configuration"))
    logger = logger or logging.getLogger("hpdist.folder")
    path = check_path("optimization_dir", optimization_dir)
    total = maybe(check_whole, "max_evaluations_total", max_evaluations_total, minimum=0)
    max_per_run = maybe(check_whole, "max_evaluations_per_run", max_evaluations_per_run, minimum=1)
    check_kind("optimizer_info", optimizer_info, dict, do='optimizer_info={"name": "random"}')
    if overwrite_optimization_dir:
        _move_aside(path, logger)
    state = SharedState(path, create_dirs=True)
    state.record_optimizer_info(optimizer_info)
    state.move_corrupted()
    budget = getattr(sampler, "budget", None)
    objective = PipelineObjective(evaluation_fn, path.absolute(), budget)
    timing = _timing()

    def make_run(executor: Executor) -> LocalRun:
        chosen = sampler
        for hook in pre_load_hooks or ():
            chosen = hook(chosen)
        generator = SingleFidelity()
        limits = Limits(n_trials=total, max_cost=budget)
        search = Search(space_of(chosen, None), generator, chosen, objective, limits)
        return LocalRun(
            search,
            RunDirectory(path),
            executor,
            make_progress("none", path, Forecast(generator, math.inf)),
            Opening(safe_run_id(path.resolve().name), objective=search.fingerprint),
        )

    def evaluated(payload: Payload) -> None:
        disk = TrialDisk(trial_directory(path, payload.trial_id))
        logger.info("evaluated configuration %s", disk.id)
        if post_evaluation_hook is not None:
            trial = disk.load()
            post_evaluation_hook(trial.config, trial.id, trial.pipeline_dir, trial.results, logger)

    Participant(
        path,
        make_run,
        runners_of(objective, 1, "process", None, None),
        timing=timing,
        max_evaluations=max_per_run,
        on_evaluated=evaluated,
        max_poll_s=_seconds(POLL_VARIABLE),
    ).run()


def _move_aside(path: Path, logger: logging.Logger) -> None:
    if not path.exists():
        return
    term, heartbeat = Election(path / TERMS, "", FOLDER_TIMING.lease_s).read_heartbeat()
    if term and heartbeat.get("state") == RUNNING and not is_dead(heartbeat.get("process")):
        raise ConfigurationError(
            f"{path} is not overwritten: {heartbeat.get('leader')} works in it",
            do="stop all processes on it first, or choose another directory",
        )
    aside = path.with_name(f"{path.name}.old-{time.strftime('%Y%m%d-%H%M%S')}")
    logger.warning("%s is moved to %s", path, aside)
    path.rename(aside)


def _seconds(variable: str) -> float | None:
    text = os.environ.get(variable)
    if text is None:
        return None
    try:
        return check_seconds(variable, float(text))
    except ValueError as error:
        raise ConfigurationError(f"{variable}={text!r} is no number of seconds") from error


def _timing() -> Timing:
    lease_s = _seconds(TIMEOUT_VARIABLE)
    if lease_s is None:
        return FOLDER_TIMING
    return Timing(lease_s, lease_s / 4, lease_s, lease_s / 2, lease_s)

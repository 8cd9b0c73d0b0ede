"""Construction of a run from the options of a search, for all front doors."""

from __future__ import annotations

from pathlib import Path

from hpdist.core.dispatch.executor import Executor
from hpdist.core.journal.run_directory import RunDirectory
from hpdist.core.journal.run_names import safe_run_id
from hpdist.core.model.errors import ConfigurationError
from hpdist.core.objective.objective import objective_of
from hpdist.core.results.forecast import Forecast
from hpdist.core.results.progress_display import make_progress
from hpdist.core.run.definition import (
    Search,
    check_time_limit,
    choose_generator,
    choose_limits,
    gather_warm_start,
)
from hpdist.core.run.local_run import LocalRun
from hpdist.core.run.options import RunOptions
from hpdist.core.run.resume import Opening
from hpdist.core.space.space import Space
from hpdist.core.study.early_stopping import StoppingRule, make_rule
from hpdist.multi_fidelity import IterGenerator


def define_search(options: RunOptions) -> Search:
    """Return the search that options describe.

    Raises
    ------
    ConfigurationError, JournalError
        If the options cannot work, or an earlier run cannot be read.
    """
    wanted = options.search
    called = objective_of(wanted.objective)
    generator = generator_of(options)
    return Search(
        Space.of(wanted.space),
        generator,
        wanted.optimizer,
        called,
        choose_limits(generator, options.limits, options.time.time_limit),
        wanted.direction,
        wanted.seed,
        wanted.initial_configs,
        gather_warm_start(wanted.warm_start, wanted.direction),
        _effective_rule(options),
        wanted.objectives,
    )


def generator_of(options: RunOptions) -> IterGenerator:
    """Return the iteration generator that options name."""
    wanted = options.search
    return choose_generator(wanted.iter_generator, wanted.min_budget, wanted.max_budget, wanted.eta)


def prepare_run(
    options: RunOptions,
    search: Search,
    path: Path,
    executor: Executor,
    *,
    keep_limits: bool = False,
) -> LocalRun:
    """Return the run of a search in the directory ``path``, on this executor.

    Parameters
    ----------
    keep_limits
        Leave a resumed run's limits as they were, even if there are limits among the options.
    """
    policy, time_limit_s = options.policy, check_time_limit(options.time.time_limit)
    return LocalRun(
        search,
        RunDirectory(path),
        executor,
        make_progress(policy.progress, path, Forecast(search.iter_generator, time_limit_s)),
        Opening.of(options, safe_run_id(path.resolve().name), search.fingerprint),
        callbacks=policy.callbacks,
        keep_limits=keep_limits or not options.has_limits,
        retry_failed=policy.retry_failed,
        time_limit_s=time_limit_s,
        grace_s=options.time.grace,
    )


def _effective_rule(options: RunOptions) -> StoppingRule | None:
    """Return the rule of early stopping; refuse one that would have no effect."""
    rule = make_rule(options.search.early_stopping)
    if rule is not None and options.executor.executor == "serial":
        raise ConfigurationError(
            "early_stopping has no effect with executor='serial'",
            cause="the objective runs in the thread that would have to judge its reports",
            do="executor='thread' or 'process', with workers=1 if it has to be one at a time",
        )
    return rule

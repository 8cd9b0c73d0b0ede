"""From options to a search, and from its results to an exit code."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hpdist.cli.failures import Exit, show_log, tell
from hpdist.cli.script import Reference, Script
from hpdist.cli.tables import results_json, show_best, show_json
from hpdist.cli.values import BUDGET, BYTES, COUNT, SECONDS
from hpdist.cli.verb import as_json, options
from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.values import Limits, Timing
from hpdist.core.results.text_format import clean

if TYPE_CHECKING:
    from hpdist.core.dispatch.executor import Executor
    from hpdist.core.results.results import Results
    from hpdist.core.run.local_run import LocalRun
    from hpdist.core.run.resume import OpenRun
    from hpdist.multi_fidelity import IterGenerator

#: How many configurations are listed at the end.
TOP = 5

schedule_options = options(
    click.option(
        "--budget", type=BUDGET, help="Smallest and largest budget of an evaluation. Default: "
        "the script's variable `budget`; without it, each configuration is evaluated once.",
    ),
    click.option("--eta", type=float, default=3.0, show_default=True, help="One in ETA goes on."),
    click.option(
        "--iter-generator", type=click.Choice(["hyperband", "halving", "asha", "single"]),
        help="How budgets are chosen. Default: hyperband where there is a budget, else single.",
    ),
    click.option("--iterations", type=COUNT, help="Limit: brackets."),
)  # fmt: skip

search_options = options(
    click.option("--space", metavar="NAME", help="The script's variable that holds the space."),
    schedule_options,
    click.option(
        "--optimizer", default="auto", show_default=True, help="How configurations are chosen."
    ),
    click.option(
        "--early-stopping", type=click.Choice(["median", "rungs"]),
        help="End evaluations that do not promise, by what they report.",
    ),
    click.option("--default-first", is_flag=True, help="Evaluate the space's defaults first."),
    click.option(
        "--objectives", default="loss", metavar="NAMES",
        help="What is to be small: loss and other keys of the result, with commas.",
    ),
    click.option("--trials", type=COUNT, help="Limit: configurations."),
    click.option("--evaluations", type=COUNT, help="Limit: evaluations."),
    click.option("--max-cost", type=float, help="Limit: cost of all evaluations together."),
    click.option("--time-limit", type=SECONDS, help="Limit: time from now, such as 30m or 2h."),
    click.option("--target-loss", type=float, help="Stop when it is reached."),
    click.option("--seed", type=int, default=0, show_default=True),
    click.option("--maximize", is_flag=True, help="The objective is to be large, not small."),
    click.option(
        "--warm-start", multiple=True, type=click.Path(exists=True), metavar="RUN",
        help="An earlier run to learn from; may be given several times.",
    ),
    click.option(
        "--on-change", type=click.Choice(["error", "continue"]), default="error",
        show_default=True, help="What to do when the run has another optimizer or objective.",
    ),
    click.option("--retry-failed", is_flag=True, help="Evaluate again what failed before."),
    click.option("--new", is_flag=True, help="Begin another run beside the one that is there."),
    click.option(
        "--progress", type=click.Choice(["auto", "bar", "log", "none"]), default="auto",
        show_default=True, help="A live display, or a line every 30 s.",
    ),
    as_json,
)  # fmt: skip

evaluation_options = options(
    click.option("--job-timeout", type=SECONDS, help="Time that one evaluation may take."),
    click.option("--memory-limit", type=BYTES, help="Memory for one evaluation, such as 4G."),
    click.option(
        "--isolation", type=click.Choice(["process", "none"]), default="process",
        show_default=True, help="Evaluate in a child process, or in the worker's own.",
    ),
    click.option(
        "--prefetch", type=click.IntRange(min=0), default=0, show_default=True,
        help="Evaluations that a worker holds ahead.",
    ),
)  # fmt: skip

timing_options = options(
    click.option(
        "--lease", type=SECONDS, help="Seconds of silence after which a worker is given up. "
        "Default: 30; in a folder 4.",
    ),
    click.option(
        "--closed", type=SECONDS, help="The same once its connection is known to be closed. "
        "Default: 10.",
    ),
    click.option(
        "--heartbeat", type=SECONDS, help="Seconds between two signs of life. "
        "Default: 5; in a folder 1.",
    ),
)  # fmt: skip


def timing_of(values: Mapping[str, Any], usual: Timing | None = None) -> Timing:
    """Make the timing that the options of `timing_options` ask for, else the usual one."""
    given = {f"{name}_s": values[name] for name in ("lease", "closed", "heartbeat")}
    asked_for = {name: value for name, value in given.items() if value is not None}
    return replace(usual or Timing(), **asked_for)


@dataclass(frozen=True)
class SearchOptions:
    """The options of `search_options`."""

    space: str | None
    budget: tuple[float, float] | None
    eta: float
    iter_generator: str | None
    iterations: int | None
    optimizer: str
    default_first: bool
    early_stopping: str | None
    objectives: str
    trials: int | None
    evaluations: int | None
    max_cost: float | None
    time_limit: float | None
    target_loss: float | None
    seed: int
    maximize: bool
    warm_start: Sequence[str]
    on_change: str
    retry_failed: bool
    progress: str

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> SearchOptions:
        """Take them out of all the options of a command."""
        return cls(**{field.name: values[field.name] for field in fields(cls)})

    @property
    def limits(self) -> Limits:
        return Limits(
            self.iterations, self.trials, self.evaluations, self.max_cost, self.target_loss
        )


def generator_of(name: str | None, budget: tuple[float, float] | None, eta: float) -> IterGenerator:
    """Return the iteration generator that options name.

    Raises
    ------
    ConfigurationError
        If it needs a budget and there is none.
    """
    from hpdist.core.run.definition import choose_generator
    from hpdist.multi_fidelity import NAMES, SingleFidelity

    if name == "single":
        return SingleFidelity(budget[1] if budget else 1.0)
    if name is None:
        low, high = budget or (None, None)
        return choose_generator(None, low, high, eta)
    if budget is None:
        raise ConfigurationError(
            f"--iter-generator {name} needs a smallest and a largest budget",
            do="--budget 1:81, or a variable budget = (1, 81) in the script",
        )
    made: IterGenerator = NAMES[name](*budget, eta)
    return made


def run_directory(reference: Reference, run: str | None, new: bool) -> Path:
    """Choose the run's directory; with ``new`` one that is not there yet."""
    path = first = Path(run) if run else reference.directory
    number = 1
    while new and path.exists():
        number += 1
        path = first.with_name(f"{first.name}-{number}")
    return path


def do_search(
    script: Script,
    chosen: SearchOptions,
    path: Path,
    executor: Executor,
    *,
    keep_limits: bool = False,
    timing: Timing | None = None,
    on_open: Callable[[OpenRun], None] = lambda run: None,
) -> Results:
    """Search until the end, or until interrupted."""
    run = local_run(script, chosen, path, executor, keep_limits=keep_limits)
    return replace(run, timing=timing, on_open=on_open).run()


def local_run(
    script: Script,
    chosen: SearchOptions,
    path: Path,
    executor: Executor,
    *,
    keep_limits: bool = False,
) -> LocalRun:
    """Make the search that options and a script describe."""
    from hpdist.core.journal.run_directory import RunDirectory
    from hpdist.core.objective.objective import FunctionObjective, objective_of
    from hpdist.core.results.forecast import Forecast
    from hpdist.core.results.progress_display import make_progress
    from hpdist.core.run.definition import Search, choose_limits, gather_warm_start
    from hpdist.core.run.local_run import LocalRun
    from hpdist.core.space.space import Space

    target = script.target
    direction = "maximize" if chosen.maximize else "minimize"
    generator = generator_of(chosen.iter_generator, chosen.budget or script.budget, chosen.eta)
    space = Space.of(script.space(chosen.space))
    search = Search(
        space,
        generator,
        chosen.optimizer,
        # Of a worker only the fingerprint is needed: its processes make it themselves.
        FunctionObjective(target.compute, 3) if script.is_worker else objective_of(target),
        choose_limits(generator, chosen.limits, chosen.time_limit),
        direction,
        chosen.seed,
        initial_configs=[space.default()] if chosen.default_first else (),
        warm_start=gather_warm_start(list(chosen.warm_start), direction),
        early_stopping=chosen.early_stopping,
        objectives=chosen.objectives.split(","),
    )
    time_limit_s = math.inf if chosen.time_limit is None else chosen.time_limit
    return LocalRun(
        search,
        RunDirectory(path),
        executor,
        make_progress(chosen.progress, path, Forecast(generator, time_limit_s)),
        keep_limits=keep_limits or (chosen.limits == Limits() and chosen.time_limit is None),
        on_change=chosen.on_change,
        retry_failed=chosen.retry_failed,
        time_limit_s=time_limit_s,
    )


def conclude(results: Results, json_: bool) -> Exit:
    """Show what came of a run, and choose the exit code."""
    if json_:
        show_json(results_json(results))
    else:
        show_best(results, TOP)
    if results.reason != "finished":
        return Exit.RESUMABLE
    if results.best is None:
        _tell_of_failure(results)
        return Exit.FAILED
    return Exit.DONE


def log_from(level: int) -> None:
    """Show the log of hpdist from ``level`` on, and all of it with ``--debug``."""
    debug = click.get_current_context().meta.get("hpdist.debug")
    show_log(logging.DEBUG if debug else level)


def _tell_of_failure(results: Results) -> None:
    if not results.failures:
        tell("error: nothing was evaluated")
        return
    first = results.failures[0]
    assert first.failure is not None
    name = "-".join(map(str, first.config_id))
    text = (first.traceback or first.message).rstrip().replace("\n", "\n  ")
    tell(
        f"error: no evaluation succeeded; the first failure, of config {name} "
        f"at budget {first.budget:g} ({first.failure.value}):\n  {text}\n"
        f"  do:    hpdist results {clean(str(results.path))} --failures\n"
        "         mend the cause, then the same command with --retry-failed"
    )

"""The search that options describe, and the exit code of its results."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hpdist.cli.exit_codes import Exit, print_message, show_log
from hpdist.cli.options import by_field, retry_of, timing_of
from hpdist.cli.script import Reference, Script
from hpdist.cli.tables import results_json, show_best, show_json
from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.limits_and_timing import FOLDER_TIMING
from hpdist.core.model.states import EndReason
from hpdist.core.results.text_format import clean
from hpdist.core.run.options import RunOptions

if TYPE_CHECKING:
    from hpdist.core.results.results import Results
    from hpdist.multi_fidelity import IterGenerator

#: Number of configurations that are listed at the end.
TOP = 5


def generator_of(name: str | None, budget: tuple[float, float] | None, eta: float) -> IterGenerator:
    """Return the iteration generator that options name.

    Raises
    ------
    ConfigurationError
        If the generator needs a budget and none is given.
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
    """Choose the run's directory; with ``new`` one that does not exist yet."""
    path = first = Path(run) if run else reference.directory
    number = 1
    while new and path.exists():
        number += 1
        path = first.with_name(f"{first.name}-{number}")
    return path


def run_options(script: Script, values: Mapping[str, Any], path: Path) -> RunOptions:
    """Return the options of the search that a script and click's values describe."""
    from hpdist.core.objective.objective import FunctionObjective
    from hpdist.core.space.space import Space

    target, budget = script.target, values["budget"] or script.budget
    space = script.space(values["space"])
    given = {
        **by_field(values),
        # Of a `Worker` subclass only the fingerprint is needed: worker processes make their own.
        "objective": FunctionObjective(target.compute, 3) if script.is_worker else target,
        "space": space,
        "min_budget": None,
        "max_budget": None,
        "iter_generator": generator_of(values["iter_generator"], budget, values["eta"]),
        "direction": "maximize" if values["maximize"] else "minimize",
        "initial_configs": [Space.of(space).default()] if values["default_first"] else (),
        "objectives": values["objectives"].split(","),
        "warm_start": list(values["warm_start"]),
        "resources": dict(values.get("resources", ())),
        "run": path,
        "resume": "auto",
    }
    usual = FOLDER_TIMING if values.get("executor") == "folder" else None
    return RunOptions.of(given | {"timing": timing_of(values, usual), "retry": retry_of(values)})


def conclude(results: Results, json_: bool) -> Exit:
    """Show the results of a run, and choose the exit code."""
    if json_:
        show_json(results_json(results))
    else:
        show_best(results, TOP)
    if results.reason != EndReason.FINISHED:
        return Exit.RESUMABLE
    if results.best is None:
        _print_failure(results)
        return Exit.FAILED
    return Exit.DONE


def log_from(level: int) -> None:
    """Show the log of hpdist from ``level`` on, and all of it with ``--debug``."""
    debug = click.get_current_context().meta.get("hpdist.debug")
    show_log(logging.DEBUG if debug else level)


def _print_failure(results: Results) -> None:
    if not results.failures:
        print_message("error: nothing was evaluated")
        return
    first = results.failures[0]
    assert first.failure is not None
    name = "-".join(map(str, first.config_id))
    text = (first.traceback or first.message).rstrip().replace("\n", "\n  ")
    print_message(
        f"error: no evaluation succeeded; the first failure, of config {name} "
        f"at budget {first.budget:g} ({first.failure.value}):\n  {text}\n"
        f"  do:    hpdist results {clean(str(results.path))} --failures\n"
        "         fix the cause, then the same command with --retry-failed"
    )

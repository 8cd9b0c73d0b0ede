"""``hpdist folder``: work on a search in a shared directory, together with other processes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hpdist.cli.command_decorators import Verb, example
from hpdist.cli.command_file import write_command
from hpdist.cli.exit_codes import Exit
from hpdist.cli.options import (
    dispatch_options,
    evaluation_options,
    search_options,
    workers_option,
)
from hpdist.cli.parameter_types import COUNT, RUN_PATH
from hpdist.cli.script import Reference, load_script
from hpdist.cli.search_run import conclude, run_options
from hpdist.core.model.errors import ConfigurationError

if TYPE_CHECKING:
    from hpdist.core.dispatch.executor import Executor
    from hpdist.core.run.local_run import LocalRun


@click.command(
    cls=Verb,
    epilog=example(
        "hpdist folder /shared/mine train.py --trials 200",
        "hpdist folder /shared/mine train:objective --trials 200 --workers 4",
    ),
)
@click.argument("directory", metavar="DIR", type=RUN_PATH)
@click.argument("script", metavar="SCRIPT[:FN]")
@workers_option
@click.option("--max-evaluations", type=COUNT, help="Number of evaluations after which it leaves.")
@search_options
@evaluation_options
@dispatch_options
def folder(directory: str, script: str, **values: Any) -> Exit:
    """Work on a search in a shared directory; no server, no port.

    Start any number of processes with this same command, on any machines that see DIR; they may
    come and go. One of them writes the journal beside its own evaluations; when it dies, another
    one takes over.
    """
    from hpdist.core.objective.objective import objective_of
    from hpdist.core.run.prepare import define_search, prepare_run
    from hpdist.folder.search import take_part

    for name in ("new", "prefetch", "closed"):
        if values[name]:
            raise ConfigurationError(f"--{name} is of no use in a folder", do="leave it out")
    loaded, path = load_script(Reference.parse(script)), Path(directory)
    if loaded.is_worker:
        raise ConfigurationError(
            f"{loaded.reference} is a worker, not a function",
            do="use hpdist run --executor cluster",
        )
    values |= {"executor": "folder"}
    chosen = run_options(loaded, values, path)
    note = {**values, "script": loaded.reference, "run": str(path.resolve())}

    def make_run(executor: Executor) -> LocalRun:
        run = prepare_run(chosen, define_search(chosen), path, executor)
        return replace(run, on_open=lambda run: write_command(path, "run", note))

    objective = objective_of(loaded.reference)
    results = take_part(chosen, objective, path, make_run, values["max_evaluations"])
    return conclude(results, values["json_"])

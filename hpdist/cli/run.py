"""``hpdist run``: everything on this machine, in one command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hpdist.cli.command_decorators import Verb, example
from hpdist.cli.command_file import write_command
from hpdist.cli.exit_codes import Exit, print_message
from hpdist.cli.options import (
    dispatch_options,
    evaluation_options,
    executor_options,
    listening_options,
    run_option,
    search_options,
    workers_option,
)
from hpdist.cli.script import Reference, Script, load_script
from hpdist.cli.search_run import conclude, run_directory, run_options
from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.option_declaration import flag_of
from hpdist.core.run.executor_names import EXECUTORS, ignored
from hpdist.core.run.options import FIELDS, RunOptions, changed

if TYPE_CHECKING:
    from hpdist.core.run.resume import OpenRun


@click.command(
    cls=Verb,
    epilog=example(
        "hpdist run train.py --budget 1:81 --workers 4",
        "hpdist run train.py:objective --trials 100 --executor process",
        "hpdist run train.py --new --optimizer sobol --seed 1",
    ),
)
@click.argument("script", metavar="SCRIPT[:FN]")
@run_option()
@workers_option
@executor_options
@search_options
@evaluation_options
@listening_options(
    "Address to listen on. Default: loopback.", "Port of the nameserver. Default: any."
)
@dispatch_options
@click.pass_context
def run(context: click.Context, /, script: str, **values: Any) -> Exit:
    """Search on this machine, in one command.

    SCRIPT is a file or a module. It defines the objective FN, by default the only function that
    can be one, and its space in a variable `space`. The same command again goes on where the
    last one ended.
    """
    from hpdist.core.objective.objective import ImportedObjective
    from hpdist.optimize import carry_out

    reference = Reference.parse(script)
    loaded = load_script(reference)
    path = run_directory(reference, values["run"], values["new"])
    chosen = run_options(loaded, values, path)
    _refuse_ignored(chosen)
    _check_cluster(loaded, path, values)
    note = {"script": loaded.reference, **values, "run": str(path.resolve()), "new": False}

    def opened(run: OpenRun) -> None:
        write_command(path, "run", note)

    results = carry_out(
        chosen,
        objective=ImportedObjective(loaded.reference),  # each process imports it for itself
        keep_limits=bool(context.meta.get("hpdist.resumed")),
        on_open=opened,
    )
    return conclude(results, values["json_"])


def _refuse_ignored(chosen: RunOptions) -> None:
    """Refuse options that the executor would ignore."""
    executor = chosen.executor.executor
    given = changed(chosen.executor, chosen.evaluation, chosen.listening)
    for name in ignored(executor, given):
        able = " or ".join(each for each, kind in EXECUTORS.items() if name in kind.heeds)
        raise ConfigurationError(
            f"{flag_of(FIELDS[name])} is of no use with --executor {executor}",
            do=f"leave it out, or use --executor {able}",
        )


def _check_cluster(script: Script, path: Path, values: dict[str, Any]) -> None:
    """Check the address of a cluster; refuse worker classes with any other executor."""
    if values["executor"] != "cluster":
        if script.is_worker:
            raise ConfigurationError(
                f"{script.reference} is a worker, not a function", do="use --executor cluster"
            )
        return
    from hpdist.cluster.transport.address import bind_host
    from hpdist.cluster.transport.pyro import harden_process

    harden_process()
    bind_host(values["host"], values["nic"])  # raises for an address that cannot be listened on
    if values["workers"] == 0:
        print_message(f"start workers with: hpdist worker {script.reference} --run {path}")

"""``hpdist control``: give a running master a command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hpdist.cli.command_decorators import Verb, example, run_argument
from hpdist.cli.exit_codes import Exit, print_message
from hpdist.cli.parameter_types import NUMBERS
from hpdist.core.journal.run_names import safe_run_id
from hpdist.core.model.errors import ConfigurationError, MasterNotFound, TransportError

_COMMANDS = ("stop", "drain", "pause", "resume", "retry", "extend")
_LIMITS = {
    "iterations": "n_iterations",
    "trials": "n_trials",
    "evaluations": "n_evaluations",
    "max_cost": "max_cost",
    "target_loss": "target_loss",
}


@click.command(
    cls=Verb,
    epilog=example(
        "hpdist control runs/mnist pause",
        "hpdist control runs/mnist retry --jobs 17,23",
        "hpdist control runs/mnist extend --iterations 8",
    ),
)
@run_argument
@click.argument("command", type=click.Choice(_COMMANDS))
@click.option("--jobs", type=NUMBERS, help="retry: these failed jobs. Default: all of them.")
@click.option("--iterations", type=int, help="extend: brackets, in all.")
@click.option("--trials", type=int, help="extend: configurations, in all.")
@click.option("--evaluations", type=int, help="extend: evaluations, in all.")
@click.option("--max-cost", type=float, help="extend: cost, in all.")
@click.option("--target-loss", type=float, help="extend: loss at which to stop.")
def control(run: str, command: str, jobs: list[int] | None, **limits: Any) -> Exit:
    """Command a running search.

    stop ends it now, drain after its running evaluations; both leave it resumable. pause starts
    nothing new until resume. retry evaluates failed jobs again, extend changes limits.
    """
    from hpdist.cluster.discovery import RunAddress
    from hpdist.cluster.transport.dispatcher_channel import DispatcherChannel
    from hpdist.cluster.transport.pyro import harden_process
    from hpdist.core.journal.run_key import find_key
    from hpdist.core.remote.command_arguments import check_arguments

    harden_process()
    arguments: dict[str, Any] = {
        _LIMITS[name]: value for name, value in limits.items() if value is not None
    }
    arguments |= {} if jobs is None else {"jobs": jobs}
    if command == "extend" and not arguments:
        raise ConfigurationError("extend needs a limit", do="add --iterations, --trials, ...")
    check_arguments(command, arguments)
    path = Path(run)
    _check_running(path)
    run_address = RunAddress(safe_run_id(path.resolve().name), directory=path)
    key = find_key(run_address.run_id, path, create=False)
    channel = DispatcherChannel(
        key, run_address.dispatcher, run_address.run_id, tls=run_address.tls()
    )
    try:
        channel.control({"command": command, "arguments": arguments})
    except MasterNotFound as error:
        raise _not_running(path) from error
    finally:
        channel.close()
    print_message(f"run {run_address.run_id} received the command {command}")
    return Exit.DONE


def _check_running(path: Path) -> None:
    from hpdist.cli.run_status import read_status
    from hpdist.core.journal.run_directory import RunDirectory

    found = read_status(path)
    if found.alive is False:
        raise _not_running(path)
    if not RunDirectory(path).connection.exists():
        raise TransportError(
            f"the search in {path} takes no commands",
            cause="it evaluates within one process, without nameserver and dispatcher",
            do="press Ctrl-C where it runs, or start it with --executor cluster",
        )


def _not_running(path: Path) -> TransportError:
    return MasterNotFound(
        f"no master runs {path}",
        cause="commands are for running searches",
        do=f"hpdist status {path}\nhpdist resume {path}",
    )

"""``hpdist resume``: continue a run where it ended."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from hpdist.cli.command_decorators import Verb, example, run_argument
from hpdist.cli.command_file import NAME, read_command
from hpdist.cli.exit_codes import Exit, print_message
from hpdist.cli.options import MODES, generated
from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.validation import short_repr

_VERBS = ("run", "master")


@click.command(
    cls=Verb, epilog=example("hpdist resume runs/mnist", "hpdist resume runs/mnist --workers 8")
)
@run_argument
@generated("workers", help="Other than before.")
@generated("time_limit", help="From now; other than before.")
@generated(
    "on_change",
    default=None,
    show_default=False,
    help="What to do when the script's objective has changed.",
)
@generated("retry_failed", default=None)
@generated("progress", type=click.Choice(MODES), default=None, show_default=False)
@click.option("--json", "json_", is_flag=True, default=None, help="Print JSON at the end.")
@click.pass_context
def resume(context: click.Context, /, run: str, **changes: Any) -> Exit:
    """Repeat the command that started a run, with the options it had.

    Limits that were extended since stay extended.
    """
    from hpdist.cli.run_status import read_status

    path = Path(run).resolve()
    read_status(run)
    verb, values, directory = read_command(path)
    group = context.find_root().command
    command = group.get_command(context, verb) if isinstance(group, click.Group) else None
    if verb not in _VERBS or command is None:
        raise ConfigurationError(f"{path} was started by {verb!r}, which cannot be resumed")
    known = {param.name for param in command.params}
    given = {name: value for name, value in changes.items() if value is not None}
    if unknown := given.keys() - known:
        raise ConfigurationError(f"hpdist {verb} has no --{sorted(unknown)[0]}")
    if directory.is_dir() and directory != Path.cwd():
        print_message(f"in {directory}, as before")
        os.chdir(directory)
    options = _restored(context, command, path, values)
    context.meta["hpdist.resumed"] = True
    code: Exit = context.invoke(command, **{**options, **given, "run": _short(path)})
    return code


def _restored(
    context: click.Context, command: click.Command, path: Path, values: dict[str, Any]
) -> dict[str, Any]:
    """Return the former options that the command still has, converted to their types."""
    options = {}
    for param in command.params:
        value = values.get(str(param.name))
        try:
            if value is not None:
                options[str(param.name)] = param.type_cast_value(context, value)
            elif param.required:
                raise click.UsageError(f"{param.name} is missing")
        except (click.UsageError, TypeError, ValueError) as error:
            why = error.message if isinstance(error, click.UsageError) else str(error)
            raise ConfigurationError(
                f"{path / NAME} cannot be understood: {param.name} is {short_repr(value)}",
                cause=why,
                do="give the command that started the run again: it goes on where the run ended",
            ) from error
    return options


def _short(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)

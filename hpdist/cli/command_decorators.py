"""Decorators and base class of all commands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from hpdist.cli.parameter_types import RUN_PATH

Decorated = Callable[..., Any]


class Verb(click.Command):
    """A command whose options can be set in the environment too, and which has ``--debug``.

    ``--budget`` of ``hpdist run`` is ``HPDIST_RUN_BUDGET``, or ``HPDIST_BUDGET`` for all commands.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(
            click.Option(
                ["--debug"],
                is_flag=True,
                expose_value=False,
                callback=_debug,
                help="Show tracebacks, and log more.",
            )
        )
        for param in self.params:
            if isinstance(param, click.Option) and param.name and param.envvar is None:
                name = param.name.upper()
                param.envvar = [f"HPDIST_{str(self.name).upper()}_{name}", f"HPDIST_{name}"]


def _debug(context: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        context.find_root().meta["hpdist.debug"] = True


def options(*decorators: Callable[[Decorated], Decorated]) -> Callable[[Decorated], Decorated]:
    """Combine several options, in the order of the help."""

    def decorate(function: Decorated) -> Decorated:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


def example(*lines: str) -> str:
    """Return an epilog with examples, each line as it is."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


as_json = click.option("--json", "json_", is_flag=True, help="Print JSON on standard output.")
run_argument = click.argument("run", type=RUN_PATH, metavar="RUN")

"""The program ``hpdist``: one verb a command, each imported when it is used."""

from __future__ import annotations

import difflib
import importlib
import logging
import sys

import click

from hpdist.cli.exit_codes import Exit, print_message, report, show_log
from hpdist.core.model.errors import HpdistError

#: Module of each verb, in the order of the help.
VERBS = {
    "demo": "demo",
    "run": "run",
    "folder": "folder",
    "nameserver": "nameserver",
    "worker": "worker",
    "master": "master",
    "status": "status",
    "results": "results",
    "plan": "plan",
    "resume": "resume",
    "control": "control",
    "journal": "journal",
    "keys": "keys",
}


class LazyGroup(click.Group):
    """A group that imports a command when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = VERBS.get(cmd_name)
        if module is None:
            return None
        command: click.Command = getattr(importlib.import_module(f"hpdist.cli.{module}"), module)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in VERBS:
            close = difflib.get_close_matches(args[0], VERBS, n=1)
            hint = f" Did you mean {close[0]}?" if close else f" Choose from {', '.join(VERBS)}."
            ctx.fail(f"There is no command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)


def _version(context: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"hpdist {version('hpdist')}")
        context.exit()


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "HPDIST"},
    epilog="Exit codes: 0 done; 1 the search failed; 2 wrong usage; 3 not reachable; 4 stopped, "
    "and can be resumed; 130 broken off. Each option can be set in the environment: --budget as "
    "HPDIST_BUDGET, or HPDIST_RUN_BUDGET for hpdist run only.",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_version,
    help="Show the version.",
)
def cli() -> None:
    """Tune hyperparameters on as many machines as you have.

    Try `hpdist demo` first.
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the program, and exit."""
    sys.exit(run(arguments))


def run(arguments: list[str] | None = None) -> int:
    """Run the program with ``arguments``, by default those of this process; returns the code."""
    show_log(logging.WARNING)
    context: click.Context | None = None
    try:
        context = cli.make_context("hpdist", list(sys.argv[1:] if arguments is None else arguments))
        with context:
            code = cli.invoke(context)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        error.show()
        return Exit.USAGE
    except (KeyboardInterrupt, click.Abort):
        print_message("interrupted")
        return Exit.INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()  # the reader is gone, as after "| head"
        return Exit.DONE
    except Exception as error:  # noqa: BLE001  (the top of the program)
        return report(error, _debugging(context))
    return code if isinstance(code, int) else Exit.DONE


def _debugging(context: click.Context | None) -> bool:
    return context is not None and bool(context.meta.get("hpdist.debug"))


__all__ = ["HpdistError", "cli", "main", "run"]


if __name__ == "__main__":
    main()

"""``%px`` and ``%%px``: run a line or a cell on all engines. ``%load_ext hpdist.views``."""

from __future__ import annotations

import argparse
from typing import Any

from hpdist.core.model.errors import ConfigurationError
from hpdist.views.client import Client


def load_ipython_extension(shell: Any) -> None:
    """Give an IPython shell ``%px`` and ``%%px [--local]``."""
    shell.register_magic_function(lambda line: px_line(shell, line), "line", "px")
    shell.register_magic_function(lambda line, cell: px_cell(shell, line, cell), "cell", "px")


def px_line(shell: Any, line: str) -> None:
    """Run a line on all engines, and show what they print."""
    _show(_client(shell)[:].execute(line))


def px_cell(shell: Any, line: str, cell: str) -> None:
    """Run a cell on all engines, with ``--local`` here as well."""
    parser = argparse.ArgumentParser("%%px", exit_on_error=False)
    parser.add_argument("--local", action="store_true")
    options = parser.parse_args(line.split())
    if options.local:
        shell.run_cell(cell).raise_error()
    _show(_client(shell)[:].execute(cell))


def _show(result: Any) -> None:
    result.get()
    for row in result.metadata:
        if row["stdout"]:
            print(f"[{row['engine_id']}] {row['stdout']}".rstrip())  # noqa: T201


def _client(shell: Any) -> Client:
    """Return the client that the user has made, the latest if there are several."""
    here = [each for each in shell.user_ns.values() if isinstance(each, Client)]
    if not here:
        raise ConfigurationError("there is no client here", do="rc = hpdist.views.Client(DIR)")
    return here[-1]

"""Options for the address of a run, and the address made from them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hpdist.cli.command_decorators import options
from hpdist.cli.options import run_option
from hpdist.cli.parameter_types import RUN_PATH, SECONDS
from hpdist.core.journal.run_names import safe_run_id
from hpdist.core.model.errors import ConfigurationError

if TYPE_CHECKING:
    from hpdist.cluster.discovery import RunAddress

tls_option = click.option(
    "--tls-dir", type=RUN_PATH, help="Directory of the run's certificates, if it "
    "has any.",
)  # fmt: skip

run_address_options = options(
    run_option(),
    click.option("--run-id", help="Name of the run. Default: that of its directory."),
    click.option(
        "--nameserver", metavar="HOST:PORT", help="Default: the address in the run directory."
    ),
    click.option("--key-file", type=click.Path(dir_okay=False), help="File of the run's key."),
    tls_option,
    click.option(
        "--wait", type=SECONDS, default=300.0, show_default=True,
        help="How long to try an address at which nothing answers.",
    ),
)  # fmt: skip


def run_address_of(
    run: str | None, run_id: str | None, nameserver: str | None, default: Path
) -> RunAddress:
    """Return the address of a run.

    Raises
    ------
    ConfigurationError
        If the nameserver's address or the run id is not valid.
    """
    from hpdist.cluster.discovery import RunAddress
    from hpdist.cluster.transport.address import split_address
    from hpdist.core.journal.run_names import check_run_id

    if run_id and not run and not nameserver:
        raise ConfigurationError(
            f"the address of run {run_id!r} is not given",
            do="add --nameserver HOST:PORT, or --run DIR",
        )
    directory = Path(run) if run else None if nameserver else default
    if directory is None and run_id is None:
        raise ConfigurationError(
            f"the nameserver at {nameserver} may serve several runs", do="add --run-id NAME"
        )
    name = check_run_id(run_id) if run_id else safe_run_id(Path(str(directory)).resolve().name)
    host, port = split_address(nameserver) if nameserver else (None, None)
    return RunAddress(name, host, port, directory)


def use_secrets(key_file: str | None, tls_dir: str | None) -> None:
    """Use this key and these certificates, in this process and in those that it starts."""
    for name, path in (("HPDIST_KEY_FILE", key_file), ("HPDIST_TLS_DIR", tls_dir)):
        if path:
            os.environ[name] = str(Path(path).expanduser().resolve())

"""``hpdist master``: runs a search on the workers that connect."""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hpdist.cli.command_decorators import Verb, example
from hpdist.cli.command_file import write_command
from hpdist.cli.exit_codes import Exit, print_message
from hpdist.cli.options import dispatch_options, listening_options, search_options
from hpdist.cli.parameter_types import SECONDS
from hpdist.cli.run_address import run_address_of, run_address_options, use_secrets
from hpdist.cli.script import Reference, load_script
from hpdist.cli.search_run import conclude, log_from, run_directory, run_options

if TYPE_CHECKING:
    from hpdist.core.run.resume import OpenRun


@click.command(
    cls=Verb,
    epilog=example(
        "hpdist master train.py --run runs/mnist --budget 1:81",
        "hpdist master train.py --run runs/mnist --budget 1:81 --min-workers 4",
    ),
)
@click.argument("script", metavar="SCRIPT[:FN]")
@run_address_options
@search_options
@listening_options(
    "Address to listen on. Default: the one towards the nameserver.",
    "Port to listen on. Default: any.",
)
@click.option(
    "--min-workers", type=click.IntRange(min=0), default=0, help="Wait for so many workers before "
    "the first evaluation.",
)  # fmt: skip
@click.option(
    "--worker-timeout",
    type=SECONDS,
    help="Stop after so long without workers, or with too few to start.",
)
@dispatch_options
@click.pass_context
def master(
    context: click.Context,
    /,
    script: str,
    run: str | None,
    run_id: str | None,
    nameserver: str | None,
    key_file: str | None,
    tls_dir: str | None,
    wait: float,
    **values: Any,
) -> Exit:
    """Search with the workers that connect, from any machine.

    All that happens is in the journal in the run directory before it has an effect: the same
    command again goes on where the last one ended.
    """
    from hpdist.cluster.run_host import RunHost
    from hpdist.cluster.service import Listening, Service
    from hpdist.cluster.transport.pyro import harden_process
    from hpdist.cluster.waiting import find_nameserver, wait_for
    from hpdist.core.run.prepare import define_search, prepare_run

    harden_process()
    note = dict(context.params)
    use_secrets(key_file, tls_dir)
    log_from(logging.WARNING)
    reference = Reference.parse(script)
    loaded = load_script(reference)
    path = run_directory(reference, run, values["new"])
    run_address = run_address_of(str(path), run_id, nameserver, path)
    chosen = run_options(loaded, values, path)
    where = chosen.listening
    listening = Listening(where.host, where.nic, where.port)
    host = RunHost(
        Service(run_address, listening, timing=chosen.timing),
        min_workers=values["min_workers"],
        worker_timeout_s=values["worker_timeout"] or math.inf,
    )

    def start(opened: OpenRun) -> None:
        if not opened.study.done:
            found = wait_for(run_address, lambda: find_nameserver(run_address), timeout_s=wait)
            print_message(f"nameserver of run {run_address.run_id} at {found}")
        absolute = {"script": loaded.reference, "run": str(Path(path).resolve())}
        write_command(path, "master", {**note, **absolute, "new": False})

    run_ = prepare_run(
        chosen,
        define_search(chosen),
        path,
        host,
        keep_limits=bool(context.meta.get("hpdist.resumed")),
    )
    results = replace(run_, on_open=start).run()
    if host.failure is not None:
        raise host.failure
    return conclude(results, values["json_"])

"""``hpdist run``: everything on this machine, in one command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hpdist.cli.command_file import write_command
from hpdist.cli.failures import Exit, tell
from hpdist.cli.folder import take_part
from hpdist.cli.script import Reference, Script, load_script
from hpdist.cli.searching import (
    SearchOptions,
    conclude,
    do_search,
    evaluation_options,
    run_directory,
    search_options,
    timing_of,
    timing_options,
)
from hpdist.cli.values import PORT, RESOURCE, RUN_PATH
from hpdist.cli.verb import Verb, example
from hpdist.core.model.errors import ConfigurationError

if TYPE_CHECKING:
    from hpdist.cluster.run_host import RunHost
    from hpdist.core.dispatch.executor import Executor
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
@click.option(
    "--run", type=RUN_PATH, metavar="DIR",
    help="Run directory. Default: hpdist-runs/ and the script's name.",
)  # fmt: skip
@click.option("--workers", type=click.IntRange(min=0), help="Default: one on each CPU.")
@click.option(
    "--executor", type=click.Choice(
        ["cluster", "process", "thread", "serial", "loky", "dask", "ray", "mpi", "folder"]
    ),
    default="cluster", show_default=True,
    help="cluster: nameserver, dispatcher and worker processes, which others may join; "
    "folder: as hpdist folder.",
)  # fmt: skip
@click.option("--address", help="Of a Dask or Ray cluster that is there. Default: one made here.")
@click.option(
    "--resource", "resources", multiple=True, type=RESOURCE, metavar="NAME=AMOUNT",
    help="What each evaluation asks of Dask or Ray, such as GPU=1; may be given several times.",
)  # fmt: skip
@search_options
@evaluation_options
@click.option("--host", help="Address to listen on. Default: loopback.")
@click.option("--nic", help="Network interface to listen on.")
@click.option("--port", type=PORT, default=0, help="Port of the nameserver. Default: any.")
@timing_options
@click.pass_context
def run(context: click.Context, /, script: str, **values: Any) -> Exit:
    """Search on this machine, in one command.

    SCRIPT is a file or a module. It defines the objective FN, by default the only function that
    can be one, and its space in a variable `space`. The same command again goes on where the
    last one ended.
    """
    keep_limits = bool(context.meta.get("hpdist.resumed"))
    reference = Reference.parse(script)
    loaded = load_script(reference)
    path = run_directory(reference, values["run"], values["new"])
    _refuse_network(values)
    if values["executor"] == "folder":
        return take_part(loaded, path, values, keep_limits=keep_limits)
    note = {"script": loaded.reference, **values, "run": str(path.resolve()), "new": False}
    executor, host = _executor(loaded, path, values)

    def begin(opened: OpenRun) -> None:
        write_command(path, "run", note)

    results = do_search(
        loaded,
        SearchOptions.of(values),
        path,
        executor,
        keep_limits=keep_limits,
        timing=timing_of(values),
        on_open=begin,
    )
    if host is not None and host.failure is not None:
        raise host.failure
    return conclude(results, values["json_"])


def _refuse_network(values: dict[str, Any]) -> None:
    """Refuse what the executor would ignore of addresses."""
    executor = values["executor"]
    if executor in ("cluster", "folder") and (values["address"] or values["resources"]):
        raise ConfigurationError(
            "--address and --resource are for clusters of Dask and Ray",
            do="leave them out, or use --executor dask or ray",
        )
    given = [name for name in ("host", "nic", "port") if values[name]]
    if executor != "cluster" and given:
        raise ConfigurationError(
            f"--{given[0]} is of no use with --executor {executor}",
            cause="that listens nowhere",
            do="leave it out, or use --executor cluster",
        )


def _executor(
    script: Script, path: Path, values: dict[str, Any]
) -> tuple[Executor, RunHost | None]:
    from hpdist.core.objective.objective import objective_of
    from hpdist.executors.registry import available_cpus, make_executor

    if values["executor"] == "cluster":
        workers = available_cpus() if values["workers"] is None else values["workers"]
        host = _host(script, path, workers, values)
        return host, host
    if script.is_worker:
        raise ConfigurationError(
            f"{script.reference} is a worker, not a function", do="use --executor cluster"
        )
    return make_executor(
        values["executor"],
        objective_of(script.reference),  # by name: each process imports it for itself
        path,
        **{
            name: values[name]
            for name in (
                *("workers", "isolation", "job_timeout", "memory_limit", "prefetch"),
                "address",
            )
        },
        resources=dict(values["resources"]),
    ), None


def _host(script: Script, path: Path, workers: int, values: dict[str, Any]) -> RunHost:
    from hpdist.cluster.local_cluster import own_cluster
    from hpdist.cluster.service import Listening
    from hpdist.cluster.transport.address import bind_host
    from hpdist.cluster.transport.pyro import harden_process

    harden_process()
    bind_host(values["host"], values["nic"])  # raises if nobody can listen there
    if not workers:
        tell(f"no worker is started here: hpdist worker {script.reference} --run {path}")
    names = ("isolation", "prefetch", "job_timeout", "memory_limit")
    return own_cluster(
        script.reference,
        path,
        workers,
        {name: values[name] for name in names},
        Listening(values["host"], values["nic"], values["port"]),
        timing_of(values),
    )

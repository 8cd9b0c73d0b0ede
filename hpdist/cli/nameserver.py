"""``hpdist nameserver``: the nameserver by which the parts of a run find each other."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import click

from hpdist.cli.command_decorators import Verb, example
from hpdist.cli.exit_codes import Exit, print_message
from hpdist.cli.parameter_types import PORT, RUN_PATH
from hpdist.cli.run_address import tls_option, use_secrets
from hpdist.core.model.errors import ConfigurationError


@click.command(
    cls=Verb,
    epilog=example(
        "hpdist nameserver --run runs/mnist",
        "hpdist nameserver --run runs/mnist --nic eth0",
        "hpdist nameserver --run-id mnist --host 10.1.2.3 --port 7711",
    ),
)
@click.option("--run", type=RUN_PATH, metavar="DIR", help="Run directory.")
@click.option("--run-id", help="Name of the run, where there is no shared directory.")
@click.option("--host", help="Address to listen on. Default: loopback.")
@click.option("--nic", help="Network interface to listen on.")
@click.option("--port", type=PORT, default=0, help="Default: the former one, or any.")
@click.option("--key-file", type=click.Path(dir_okay=False), help="File of the run's key.")
@tls_option
def nameserver(
    run: str | None,
    run_id: str | None,
    host: str | None,
    nic: str | None,
    port: int,
    key_file: str | None,
    tls_dir: str | None,
) -> Exit:
    """Serve a run's nameserver until Ctrl-C or SIGTERM.

    Workers find the master by it. It also makes the run's key, if it is started
    first.
    """
    from hpdist.cluster.nameserver import NameServer
    from hpdist.cluster.run_host import RunNameServer
    from hpdist.cluster.service import Listening
    from hpdist.cluster.transport.address import join_address
    from hpdist.cluster.transport.pyro import harden_process

    harden_process()
    use_secrets(key_file, tls_dir)
    if bool(run) == bool(run_id):
        raise ConfigurationError(
            "a nameserver needs either --run or --run-id", do="hpdist nameserver --run runs/NAME"
        )
    server = (
        RunNameServer(Path(run), Listening(host, nic, port))
        if run
        else NameServer(str(run_id), host=host, port=port, nic_name=nic)
    )
    ends = [signal.SIGINT, signal.SIGTERM]
    # Blocked before any thread is started, so that the signal waits for `sigwait`.
    former = signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    try:
        with server:
            address = join_address(*server.start())
            _explain(server.run_id, Path(run) if run else None, address)
            signal.sigwait(ends)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, former)
    print_message("the nameserver has ended; running searches go on without it")
    return Exit.DONE


def _explain(run_id: str, run: Path | None, address: str) -> None:
    from hpdist.cluster.transport.address import is_loopback, split_address
    from hpdist.cluster.transport.tls import find_tls_directory
    from hpdist.core.journal.run_directory import RunDirectory

    tls = find_tls_directory(run_id, run)
    remote = f"--run-id {run_id} --nameserver {address} --key-file KEY"
    remote += " --tls-dir TLS" if tls else ""
    key = RunDirectory(run).key if run else Path.home() / ".hpdist" / run_id / "key"
    lines = [f"nameserver of run {run_id} at {address}  (Ctrl-C ends it)"]
    if run:
        lines += [
            f"with this directory:  hpdist worker SCRIPT --run {run}",
            f"                      hpdist master SCRIPT --run {run} --budget MIN:MAX",
        ]
    lines += [
        f"without:              hpdist worker SCRIPT {remote}",
        f"                      hpdist master SCRIPT {remote} --run DIR --budget MIN:MAX",
        f"the key:              {key}",
        *([f"the certificates:     {tls}"] if tls else []),
    ]
    click.echo("\n  ".join(lines))
    if is_loopback(split_address(address)[0]):
        print_message(
            f"only {socket.gethostname()} itself can reach it, since it listens on loopback; for "
            "other\n  machines: --nic NAME or --host ADDRESS"
        )

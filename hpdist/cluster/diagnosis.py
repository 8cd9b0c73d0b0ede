"""Diagnosis of a run without workers, as an error with cause and remedy."""

from __future__ import annotations

from hpdist.cluster.directory import list_runs
from hpdist.cluster.discovery import RunAddress
from hpdist.cluster.transport.address import is_loopback, join_address
from hpdist.core.model.errors import NoWorkers, TransportError


def why_no_workers(run_address: RunAddress, found: int, wanted: int, waited_s: float) -> NoWorkers:
    """Return the error that names missing workers, the nameserver's entries and the remedy."""
    command = "hpdist worker SCRIPT " + (
        f"--run {run_address.directory}"
        if run_address.directory
        else f"--run-id {run_address.run_id}"
    )
    try:
        host, port = run_address.nameserver()
        cause = _describe_entries(run_address, host, port)
        if run_address.directory is None:
            command += f" --nameserver {join_address(host, port)}"
        if is_loopback(host):
            cause += "\nit listens on loopback: workers on other machines cannot reach it"
    except TransportError as error:
        cause = f"{error.what}: workers cannot find the run\n{error.cause}".strip()
        command = error.do or command
    return NoWorkers(
        f"{found} of {wanted} workers joined run {run_address.run_id!r} within {waited_s:.0f} s",
        cause=cause,
        do=command,
    )


def _describe_entries(run_address: RunAddress, host: str, port: int) -> str:
    with run_address.names() as names:
        runs = list_runs(names)
        entries = names.entries("hpdist.").values()
    others = [
        f"{entry.metadata.get('run', '?')!r} (on {entry.metadata.get('host', '?')})"
        for entry in entries
        if entry.metadata.get("kind") == "worker"
        and entry.metadata.get("run") != run_address.run_id
    ]
    listed = "lists this run" if run_address.run_id in runs else "does not list this run yet"
    elsewhere = (
        f"workers are registered under {', '.join(others)}" if others else "no worker is registered"
    )
    return f"the nameserver at {join_address(host, port)} answers and {listed}; {elsewhere}"

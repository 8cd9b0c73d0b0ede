"""``hpdist keys``: the key of a run, without ever showing it."""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from pathlib import Path

import click

from hpdist.cli.failures import Exit
from hpdist.cli.verb import Verb, example, run_argument
from hpdist.errors import ConfigurationError
from hpdist.progress_text import duration

_KEY_BYTES = 32


@click.group(epilog=example("hpdist keys show runs/mnist"))
def keys() -> None:
    """Show which key a run has, or make it anew."""


@keys.command("show", cls=Verb, epilog=example("hpdist keys show runs/mnist"))
@run_argument
def show(run: str) -> Exit:
    """Show where the key is, its age, and its fingerprint; never the key itself.

    Two machines have the same key if the fingerprints are the same.
    """
    from hpdist.run_directory import RunDirectory, find_key
    from hpdist.run_names import safe_run_id

    path = Path(run)
    run_id = safe_run_id(path.resolve().name)
    file = RunDirectory(path).key
    if named := os.environ.get("HPDIST_KEY_FILE"):
        file = Path(named)
    key = find_key(run_id, path, create=False)
    if not file.exists():
        file = Path.home() / ".hpdist" / run_id / "key"
    where = str(file) if file.exists() else "HPDIST_KEY"
    click.echo(f"key:         {where}")
    if file.exists():
        click.echo(f"age:         {duration(time.time() - file.stat().st_mtime)}")
    click.echo(f"fingerprint: {fingerprint(key)}")
    return Exit.DONE


@keys.command("rotate", cls=Verb, epilog=example("hpdist keys rotate runs/mnist"))
@run_argument
def rotate(run: str) -> Exit:
    """Make a new key; whoever has the old one is locked out.

    Not while a nameserver of the run is there: its workers could not speak to it any more.
    """
    from hpdist.durable_files import temporary_copy
    from hpdist.run_directory import RunDirectory, connection_is_stale, read_connection

    directory = RunDirectory(run)
    if not directory.key.exists():
        raise ConfigurationError(
            f"there is no {directory.key}", do="the first process of a run makes it"
        )
    note = read_connection(directory.connection)
    if note is not None and not connection_is_stale(note):
        raise ConfigurationError(
            f"run {note['run_id']!r} has a nameserver at {note['address']}",
            cause=f"process {note['pid']} on {note['host']} would go on with the old key",
            do="end nameserver, master and workers first; then rotate, and start them again\n"
            f"if they are gone for good: rm {directory.connection}",
        )
    key = secrets.token_bytes(_KEY_BYTES)
    temporary_copy(directory.key, key.hex().encode() + b"\n").replace(directory.key)
    click.echo(f"key:         {directory.key}\nfingerprint: {fingerprint(key)}")
    return Exit.DONE


def fingerprint(key: bytes) -> str:
    """Return what tells keys apart, and says nothing about them."""
    digest = hashlib.sha256(b"hpdist key fingerprint\0" + key).hexdigest()
    return ":".join(digest[i : i + 4] for i in range(0, 24, 4))

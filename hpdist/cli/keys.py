"""``hpdist keys``: the key of a run, without ever showing it."""

from __future__ import annotations

import hashlib
import importlib.util
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from hpdist.cli.command_decorators import Verb, example, run_argument
from hpdist.cli.exit_codes import Exit, tell
from hpdist.core.journal.connection_file import connection_is_stale, read_connection
from hpdist.core.journal.durable_files import release_lock, replace_file, take_lock
from hpdist.core.journal.run_directory import RunDirectory
from hpdist.core.journal.run_key import find_key, search_key
from hpdist.core.journal.run_names import safe_run_id
from hpdist.core.model.errors import ConfigurationError, MissingExtra
from hpdist.core.results.text_format import duration

_KEY_BYTES = 32


@click.group(epilog=example("hpdist keys show runs/mnist"))
def keys() -> None:
    """Show which key a run has, or make it anew; make certificates for TLS."""


@keys.command("show", cls=Verb, epilog=example("hpdist keys show runs/mnist"))
@run_argument
def show(run: str) -> Exit:
    """Show where the key is, its age, and its fingerprint; never the key itself.

    Two machines have the same key if the fingerprints are the same. Certificates are shown too,
    if the run has any: `hpdist keys tls` makes them.
    """
    from hpdist.cluster.transport.tls import find_tls_directory

    key, file = _find(Path(run))
    click.echo(f"key:         {file or 'HPDIST_KEY'}")
    if file is not None:
        click.echo(f"age:         {duration(time.time() - file.stat().st_mtime)}")
    click.echo(f"fingerprint: {fingerprint(key)}")
    _show_certificates(find_tls_directory(safe_run_id(Path(run).resolve().name), Path(run)))
    return Exit.DONE


@keys.command("rotate", cls=Verb, epilog=example("hpdist keys rotate runs/mnist"))
@run_argument
def rotate(run: str) -> Exit:
    """Make a new key; whoever has the old one is locked out.

    Not while a nameserver or master of the run is there: its workers could not speak to it any
    more. Workers that wait for a master and read the key from the run directory, or from the file
    that was made anew, follow by themselves.
    """
    _, file = _find(Path(run))
    if file is None:
        raise ConfigurationError(
            "the key is in the environment, in HPDIST_KEY, and cannot be made anew there",
            do="set HPDIST_KEY to 64 other hexadecimal digits, wherever you set it",
        )
    with _nobody_there(RunDirectory(run)):
        key = secrets.token_bytes(_KEY_BYTES)
        replace_file(file, key.hex().encode() + b"\n")
    click.echo(f"key:         {file}\nfingerprint: {fingerprint(key)}")
    tell(
        f"where there is a copy of the former key, put this one:\n  {file}\n"
        "  then start nameserver, master and workers again"
    )
    return Exit.DONE


def _find(run: Path) -> tuple[bytes, Path | None]:
    """Return the key of a run and its file; None for that if it is in the environment."""
    run_id = safe_run_id(run.resolve().name)
    key, file = search_key(run_id, run)
    return key or find_key(run_id, run, create=False), file


@contextmanager
def _nobody_there(run: RunDirectory) -> Iterator[None]:
    """Make sure that neither nameserver nor master is there, and that none begins meanwhile."""
    _refuse_while_served(run, "the old key")
    lock = take_lock(run.lock) if run.lock.exists() else None
    try:
        yield
    finally:
        if lock is not None:
            release_lock(lock)


@keys.command(
    "tls",
    cls=Verb,
    epilog=example("hpdist keys tls runs/mnist", "hpdist keys tls runs/mnist --days 7 --force"),
)
@run_argument
@click.option(
    "--days", type=click.IntRange(1, 36500), default=365, show_default=True,
    help="How long the certificates are valid.",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Replace those that are there.")
def tls(run: str, days: int, force: bool) -> Exit:
    """Make certificates: from then on the run's processes speak TLS, besides the key.

    They are in the directory tls of the run directory. Processes that do not see that directory
    need a copy, named by --tls-dir or HPDIST_TLS_DIR.
    """
    if importlib.util.find_spec("cryptography") is None:
        raise MissingExtra(
            "making certificates needs the package cryptography, which is not installed",
            cause="that is for making them only; a copy of some made elsewhere will do without",
            do='pip install "hpdist[tls]"',
        )
    from hpdist.cli.certificates import make_certificates

    directory = RunDirectory(run)
    _refuse_while_served(directory, "what it has")
    directory.create()
    make_certificates(directory.tls, safe_run_id(directory.path.resolve().name), days, force=force)
    _show_certificates(directory.tls)
    tell("what is started for this run from now on speaks TLS, and nothing else")
    return Exit.DONE


def _show_certificates(directory: Path | None) -> None:
    from hpdist.cluster.transport.tls import read_tls

    if directory is None:
        click.echo("TLS:         none; hpdist keys tls RUN makes certificates")
        return
    found = read_tls(directory)
    until = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(found.ends))
    click.echo(f"TLS:         {directory}")
    click.echo(f"valid until: {until}{' (over)' if found.ends < time.time() else ''}")
    click.echo(f"fingerprint: {found.fingerprint}")


def _refuse_while_served(directory: RunDirectory, former: str) -> None:
    note = read_connection(directory.connection)
    if note is not None and not connection_is_stale(note):
        raise ConfigurationError(
            f"run {note['run_id']!r} has a nameserver at {note['address']}",
            cause=f"process {note['pid']} on {note['host']} would go on with {former}",
            do="end nameserver, master and workers first; then make it, and start them again\n"
            f"if they are gone for good: rm {directory.connection}",
        )


def fingerprint(key: bytes) -> str:
    """Return what tells keys apart, and says nothing about them."""
    digest = hashlib.sha256(b"hpdist key fingerprint\0" + key).hexdigest()
    return ":".join(digest[i : i + 4] for i in range(0, 24, 4))

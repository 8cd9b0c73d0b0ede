"""``hpdist keys``: the key of a run, which is never shown, and its certificates."""

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
from hpdist.cli.exit_codes import Exit, print_message
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
    """Show which key a run has, or make a new one; make certificates for TLS."""


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
    """Make a new key; processes that have the old one cannot connect any more.

    Refused while a nameserver or master of the run is running, since its workers could not
    connect any more. Workers that wait for a master and read the key from this file use the new
    one by themselves.
    """
    _, file = _find(Path(run))
    if file is None:
        raise ConfigurationError(
            "the key is in the environment, in HPDIST_KEY, and cannot be replaced there",
            do="set HPDIST_KEY to 64 other hexadecimal digits, wherever you set it",
        )
    with _run_not_served(RunDirectory(run)):
        key = secrets.token_bytes(_KEY_BYTES)
        replace_file(file, key.hex().encode() + b"\n")
    click.echo(f"key:         {file}\nfingerprint: {fingerprint(key)}")
    print_message(
        f"replace all copies of the former key by this file:\n  {file}\n"
        "  then start nameserver, master and workers again"
    )
    return Exit.DONE


def _find(run: Path) -> tuple[bytes, Path | None]:
    """Return the key of a run and its file, None for a key from the environment."""
    run_id = safe_run_id(run.resolve().name)
    key, file = search_key(run_id, run)
    return key or find_key(run_id, run, create=False), file


@contextmanager
def _run_not_served(run: RunDirectory) -> Iterator[None]:
    """Make sure that no nameserver or master serves the run, and that none starts meanwhile."""
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
@click.option("--force", is_flag=True, help="Replace existing certificates.")
def tls(run: str, days: int, force: bool) -> Exit:
    """Make certificates: from then on the run's processes speak TLS, besides the key.

    They are in the directory tls of the run directory. Processes that do not see that directory
    need a copy, named by --tls-dir or HPDIST_TLS_DIR.
    """
    if importlib.util.find_spec("cryptography") is None:
        raise MissingExtra(
            "making certificates needs the package cryptography, which is not installed",
            cause="only making them needs it; certificates made elsewhere can be copied without it",
            do='pip install "hpdist[tls]"',
        )
    from hpdist.cli.certificates import make_certificates

    directory = RunDirectory(run)
    _refuse_while_served(directory, "the former certificates or none")
    directory.create()
    make_certificates(directory.tls, safe_run_id(directory.path.resolve().name), days, force=force)
    _show_certificates(directory.tls)
    print_message("processes that are started for this run from now on speak TLS only")
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
            do="end nameserver, master and workers first; then repeat this, and start them again\n"
            f"if they are gone for good: rm {directory.connection}",
        )


def fingerprint(key: bytes) -> str:
    """Return a fingerprint that distinguishes keys and reveals nothing about them."""
    digest = hashlib.sha256(b"hpdist key fingerprint\0" + key).hexdigest()
    return ":".join(digest[i : i + 4] for i in range(0, 24, 4))

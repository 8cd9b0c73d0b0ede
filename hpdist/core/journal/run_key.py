"""The key of a run: finds it, or creates it.

The key authenticates the processes of a run, so it is read from files of this user only and
appears in no message, log, command line or child's environment.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from hpdist.core.journal.durable_files import create_file, make_directory
from hpdist.core.journal.private_files import read_private
from hpdist.core.journal.run_names import check_run_id
from hpdist.core.model.errors import ConfigurationError

_KEY_BYTES = 32
_MIN_KEY_BYTES = 16

_environment_key: Key | None = None


class Key(bytes):
    """The key of a run: bytes that no log, message or traceback shows."""

    def __repr__(self) -> str:
        return f"<key of {len(self)} bytes>"

    __str__ = __repr__

    def encode(self, *_: str) -> bytes:
        """Return the plain bytes: Pyro4 calls this on keys that are not of type bytes."""
        return bytes(self)


def find_key(run_id: str, directory: str | Path | None = None, *, create: bool = True) -> Key:
    """Return the key of a run; create one if there is none.

    Searched, in this order: the file named by ``HPDIST_KEY_FILE``; ``HPDIST_KEY`` (hexadecimal;
    taken out of the environment, so that no child inherits it); ``<directory>/key``;
    ``~/.hpdist/<run_id>/key``.

    Parameters
    ----------
    run_id
        Name of the run.
    directory
        The run directory, if there is one. A new key goes there, else below the home directory.
    create
        Whether to create a key if there is none.

    Raises
    ------
    ConfigurationError
        If there is none and none may be created, or if one cannot be trusted: another user could
        read or change its file, or it is too short or not hexadecimal.
    """
    found, _ = search_key(run_id, directory)
    if found:
        return found
    files = _key_files(run_id, directory)
    if create:
        return _create_key(files[0])
    raise ConfigurationError(
        f"there is no key for run {run_id!r}",
        cause="the first process of a run makes it; it is another machine's, user's or directory's",
        tried=", ".join(["HPDIST_KEY_FILE", "HPDIST_KEY", *map(str, files)]),
        do=f"copy the key of the run to {files[-1]} and chmod 600 it, or name the file in "
        "HPDIST_KEY_FILE",
    )


def search_key(run_id: str, directory: str | Path | None = None) -> tuple[Key, Path | None]:
    """Return the key of a run, empty if there is none, and its file; None for ``HPDIST_KEY``.

    Raises
    ------
    ConfigurationError
        As `find_key` does, but for a missing key.
    """
    check_run_id(run_id)
    from_environment = environment_key()
    if named := os.environ.get("HPDIST_KEY_FILE"):
        path = Path(named).expanduser().resolve()
        return _read_key(path, required=True), path
    if from_environment:
        return from_environment, None
    for path in _key_files(run_id, directory):
        if key := _read_key(path):
            return key, path
    return Key(), None


def environment_key() -> Key | None:
    """Return the key of ``HPDIST_KEY``, which the first call removes from the environment."""
    global _environment_key
    if text := os.environ.pop("HPDIST_KEY", ""):
        _environment_key = _decode_key(text, "HPDIST_KEY")
    return _environment_key


def set_environment_key(key: Key | None) -> None:
    """Use the key that the parent process read from its environment."""
    global _environment_key
    _environment_key = key or _environment_key


def _key_files(run_id: str, directory: str | Path | None) -> list[Path]:
    at_home = Path.home() / ".hpdist" / run_id / "key"
    return [at_home] if directory is None else [Path(directory) / "key", at_home]


def _read_key(path: Path, required: bool = False) -> Key:
    """Return the key in a file, empty if there is no file."""
    text = read_private(path)
    if text is not None:
        return _decode_key(text, str(path))
    if required:
        raise ConfigurationError(f"HPDIST_KEY_FILE names {path}, which does not exist")
    return Key()


def _decode_key(text: str, source: str) -> Key:
    try:
        key = Key.fromhex(text.strip())
    except ValueError:
        key = Key()
    if len(key) >= _MIN_KEY_BYTES:
        return key
    # Neither the text nor the error of fromhex is shown: they could contain a part of the key.
    raise ConfigurationError(
        f"{source} holds no key",
        cause=f"a key has at least {2 * _MIN_KEY_BYTES} hexadecimal digits",
        do='make one: python -c "import secrets; print(secrets.token_hex(32))"',
    ) from None


def _create_key(path: Path) -> Key:
    try:
        make_directory(path.parent)
        # If another process was first, its key is read below.
        create_file(path, secrets.token_hex(_KEY_BYTES).encode() + b"\n")
    except OSError as error:
        raise ConfigurationError(
            f"the key {path} cannot be made",
            cause=str(error.strerror),
            do="name a file on another disk in HPDIST_KEY_FILE",
        ) from error
    return _read_key(path)

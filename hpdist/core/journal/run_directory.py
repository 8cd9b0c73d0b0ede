"""The directory of a run: where things lie, its key, and the note on how to reach its dispatcher.

The key decides who may speak to a run, so it is read from files of this user only and appears in
no message, log, command line or child's environment.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import socket
import stat
from pathlib import Path
from typing import Any

from hpdist.core.journal.durable_files import create_file, make_directory, replace_file
from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.validation import check_path, short_repr

CONNECTION_FORMAT = 1
"""The format of ``connection.json``."""

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_ADDRESS = re.compile(r"[^\s:].*:[0-9]{1,5}")
_KEY_BYTES = 32
_SHORTEST_KEY_BYTES = 16
_LARGEST_BYTES = 1 << 20
_CONNECTION_TYPES: dict[str, type | tuple[type, ...]] = {
    "address": str,
    "run_id": str,
    "pid": int,
    "host": str,
    "started": (int, float),
    "versions": dict,
    "format": int,
}

_environment_key: Key | None = None


def check_run_id(run_id: object) -> str:
    """Return ``run_id`` if it can name a run, a directory and an entry of the nameserver.

    Raises
    ------
    ConfigurationError
        If it is not 1 to 64 letters, digits, ``_`` and ``-``, the first of which is a letter or
        digit.
    """
    if isinstance(run_id, str) and _RUN_ID.fullmatch(run_id):
        return run_id
    raise ConfigurationError(
        f"{short_repr(run_id)} cannot name a run",
        cause="it names a directory and an entry of the nameserver as well",
        do="use 1 to 64 letters, digits, '_' and '-', beginning with a letter or digit",
    )


class Key(bytes):
    """The key of a run: bytes that no log, message or traceback shows."""

    def __repr__(self) -> str:
        return f"<key of {len(self)} bytes>"

    __str__ = __repr__

    def encode(self, *_: str) -> bytes:
        """Return the plain bytes: Pyro4 asks whatever is not of type bytes for them."""
        return bytes(self)


class RunDirectory:
    """The files of one run.

    Attributes
    ----------
    path, journal, key, tls, connection, lock, logs, configs, spool
        The directory, and what lies in it.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = check_path("a run directory", path)
        self.journal = self.path / "journal"
        self.key = self.path / "key"
        self.tls = self.path / "tls"
        self.connection = self.path / "connection.json"
        self.lock = self.path / "lock"
        self.logs = self.path / "logs"
        self.configs = self.path / "configs"
        self.spool = self.path / "spool"

    def create(self) -> None:
        """Make the directory, for its owner only; one that exists is left as it is.

        Raises
        ------
        ConfigurationError
            If it cannot be made.
        """
        try:
            make_directory(self.path)
        except OSError as error:
            raise ConfigurationError(
                f"the run directory {self.path} cannot be made",
                cause=str(error.strerror),
                do="choose another place for the run",
            ) from error

    def attempt_directory(self, trial_id: int, budget: float, attempt: int) -> Path:
        """Return where an attempt puts its files; different budgets never share a directory."""
        return self.configs / str(trial_id) / f"b{_budget_name(budget)}" / f"a{attempt}"


def find_key(run_id: str, directory: str | Path | None = None, *, create: bool = True) -> Key:
    """Find the key of a run, or make one.

    Looked at, in this order: the file named by ``HPDIST_KEY_FILE``; ``HPDIST_KEY`` (hexadecimal;
    taken out of the environment, so that no child inherits it); ``<directory>/key``;
    ``~/.hpdist/<run_id>/key``.

    Parameters
    ----------
    run_id
        Name of the run.
    directory
        The run directory, if there is one. A new key goes there, else below the home directory.
    create
        Whether to make a key if there is none.

    Raises
    ------
    ConfigurationError
        If there is none and none may be made, or if one cannot be trusted: another user could
        read or change its file, or it is too short or not hexadecimal.
    """
    found, _ = look_for_key(run_id, directory)
    if found:
        return found
    places = _key_files(run_id, directory)
    if create:
        return _create_key(places[0])
    raise ConfigurationError(
        f"there is no key for run {run_id!r}",
        cause="the first process of a run makes it; it is another machine's, user's or directory's",
        tried=", ".join(["HPDIST_KEY_FILE", "HPDIST_KEY", *map(str, places)]),
        do=f"copy the key of the run to {places[-1]} and chmod 600 it, or name the file in "
        "HPDIST_KEY_FILE",
    )


def look_for_key(run_id: str, directory: str | Path | None = None) -> tuple[Key, Path | None]:
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
        return _key_in(path, required=True), path
    if from_environment:
        return from_environment, None
    for path in _key_files(run_id, directory):
        if key := _key_in(path):
            return key, path
    return Key(), None


def environment_key() -> Key | None:
    """Take the key out of the environment, if ``HPDIST_KEY`` is there, and return it again."""
    global _environment_key
    if text := os.environ.pop("HPDIST_KEY", ""):
        _environment_key = _decode_key(text, "HPDIST_KEY")
    return _environment_key


def take_environment_key(key: Key | None) -> None:
    """Use the key that the parent process had from its environment."""
    global _environment_key
    _environment_key = key or _environment_key


def write_connection(path: Path, data: dict[str, Any]) -> None:
    """Note how to reach the dispatcher of a run; readers see the old note or the new one."""
    replace_file(path, json.dumps(data, indent=1).encode())


def read_connection(path: Path) -> dict[str, Any] | None:
    """Return what `write_connection` noted, or None if there is no note.

    Raises
    ------
    ConfigurationError
        If another user could have written it, or it is no such note.
    """
    text = read_private(path)
    if text is None:
        return None
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _no_connection(path, str(error)) from error
    if not isinstance(data, dict):
        raise _no_connection(path, "it is no JSON object")
    for name, kind in _CONNECTION_TYPES.items():
        value = data.get(name)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise _no_connection(path, f"{name} is {value!r}")
    if (
        data["format"] > CONNECTION_FORMAT
        or not _ADDRESS.fullmatch(data["address"])
        or data["pid"] < 1
    ):
        raise _no_connection(
            path, f"format {data['format']}, address {data['address']!r}, pid {data['pid']}"
        )
    return data


def remove_connection(path: Path, pid: int) -> None:
    """Remove the note if it is that of process ``pid`` on this host."""
    data = read_connection(path)
    if data and data["pid"] == pid and data["host"] == socket.gethostname():
        path.unlink(missing_ok=True)


def read_private(path: Path, most_bytes: int = _LARGEST_BYTES) -> str | None:
    """Return the text of a file that no other user can read or write; None if it is missing.

    Raises
    ------
    ConfigurationError
        If it is another user's, may be opened by others, or is no regular file; with the remedy.
    """
    try:
        # Neither a link to someone else's file nor a pipe that never answers.
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read", cause=str(error.strerror)) from error
    try:
        _check_private(path, os.fstat(fd))
        return os.read(fd, most_bytes).decode("utf-8", "replace")
    finally:
        os.close(fd)


def connection_is_stale(data: dict[str, Any]) -> bool:
    """Whether the process of a note is known to be dead; False for those of other hosts."""
    if data["host"] != socket.gethostname():
        return False
    try:
        os.kill(data["pid"], 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        return False  # It lives, as another user's.
    return False


def _budget_name(budget: float) -> str:
    whole = float(budget).is_integer() and abs(budget) < 1e15
    return str(int(budget)) if whole else repr(float(budget))


def _key_files(run_id: str, directory: str | Path | None) -> list[Path]:
    at_home = Path.home() / ".hpdist" / run_id / "key"
    return [at_home] if directory is None else [Path(directory) / "key", at_home]


def _key_in(path: Path, required: bool = False) -> Key:
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
    if len(key) >= _SHORTEST_KEY_BYTES:
        return key
    # Neither the text nor the error of fromhex is told: they could show a part of the key.
    raise ConfigurationError(
        f"{source} holds no key",
        cause=f"a key has at least {2 * _SHORTEST_KEY_BYTES} hexadecimal digits",
        do='make one: python -c "import secrets; print(secrets.token_hex(32))"',
    ) from None


def _create_key(path: Path) -> Key:
    try:
        make_directory(path.parent)
        # If another process is first, its key is read below.
        create_file(path, secrets.token_hex(_KEY_BYTES).encode() + b"\n")
    except OSError as error:
        raise ConfigurationError(
            f"the key {path} cannot be made",
            cause=str(error.strerror),
            do="name a file on another disk in HPDIST_KEY_FILE",
        ) from error
    return _key_in(path)


def _check_private(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ConfigurationError(f"{path} is no regular file")
    if status.st_uid != os.geteuid():
        raise ConfigurationError(
            f"{path} belongs to user {status.st_uid}, not to user {os.geteuid()}",
            cause="whoever owns it could speak for this run",
            do=f"chown {os.geteuid()} {path}",
        )
    if status.st_mode & 0o077:
        raise ConfigurationError(
            f"other users may open {path} (mode {stat.S_IMODE(status.st_mode):o})",
            do=f"chmod 600 {path}",
        )


def _no_connection(path: Path, cause: str) -> ConfigurationError:
    return ConfigurationError(
        f"{path} does not say how to reach a dispatcher",
        cause=cause,
        do=f"rm {path}; a running dispatcher writes it anew when it is started again",
    )

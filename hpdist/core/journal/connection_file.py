"""``connection.json``: the address of the dispatcher or the nameserver of a run."""

from __future__ import annotations

import json
import os
import re
import socket
from pathlib import Path
from typing import Any

from hpdist.core.journal.durable_files import replace_file
from hpdist.core.journal.private_files import read_private
from hpdist.core.model.errors import ConfigurationError

CONNECTION_FORMAT = 1
"""The format of ``connection.json``."""

_ADDRESS = re.compile(r"[^\s:].*:[0-9]{1,5}")
_CONNECTION_TYPES: dict[str, type | tuple[type, ...]] = {
    "address": str,
    "run_id": str,
    "pid": int,
    "host": str,
    "started": (int, float),
    "versions": dict,
    "format": int,
}


def write_connection(path: Path, data: dict[str, Any]) -> None:
    """Write the address of a run's dispatcher; readers see the old file or the new one."""
    replace_file(path, json.dumps(data, indent=1).encode())


def read_connection(path: Path) -> dict[str, Any] | None:
    """Return the data that `write_connection` wrote, or None if there is no file.

    Raises
    ------
    ConfigurationError
        If another user could have written it, or it is no such file.
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
    """Remove the file if process ``pid`` on this host wrote it."""
    data = read_connection(path)
    if data and data["pid"] == pid and data["host"] == socket.gethostname():
        path.unlink(missing_ok=True)


def connection_is_stale(data: dict[str, Any]) -> bool:
    """Return whether the process that wrote it is known to be dead; False for other hosts."""
    if data["host"] != socket.gethostname():
        return False
    try:
        os.kill(data["pid"], 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        return False  # it is alive, and another user's
    return False


def _no_connection(path: Path, cause: str) -> ConfigurationError:
    return ConfigurationError(
        f"{path} does not say how to reach a dispatcher",
        cause=cause,
        do=f"rm {path}; a dispatcher writes it when it starts",
    )

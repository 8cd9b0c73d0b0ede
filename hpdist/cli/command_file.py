"""The command that started a run: kept in the run directory for ``hpdist resume``."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from hpdist.core.journal.durable_files import temporary_copy
from hpdist.core.journal.private_files import read_private
from hpdist.core.model.errors import ConfigurationError

FORMAT = 1
NAME = "command.json"


def write_command(path: Path, verb: str, values: dict[str, Any]) -> None:
    """Write the command and its options to the run directory ``path``."""
    note = {"format": FORMAT, "verb": verb, "options": values, "directory": os.getcwd()}
    temporary_copy(path / NAME, json.dumps(note, indent=1).encode()).replace(path / NAME)


def read_command(path: Path) -> tuple[str, dict[str, Any], Path]:
    """Return verb, options and working directory of the command that started a run.

    Raises
    ------
    ConfigurationError
        If there is no command file, it cannot be read, or another user could have written it,
        since the script that it names is run.
    """
    text = read_private(path / NAME)
    if text is None:
        raise ConfigurationError(
            f"it is not known how {path} was started: there is no {path / NAME}",
            cause="it was started from Python, or it is no run directory",
            do="run the same script again: it goes on where the run ended",
        )
    try:
        note = json.loads(text)
        if note["format"] > FORMAT:
            raise ValueError(f"its format is {note['format']}")
        return str(note["verb"]), dict(note["options"]), Path(note["directory"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConfigurationError(
            f"{path / NAME} cannot be understood",
            cause=str(error),
            do="give the command that started the run again: it goes on where the run ended",
        ) from error

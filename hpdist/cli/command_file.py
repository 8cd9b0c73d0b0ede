"""How a run was begun: kept in its directory, so that ``hpdist resume`` can do it again."""

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
    """Note the command and its options in the run directory ``path``."""
    note = {"format": FORMAT, "verb": verb, "options": values, "directory": os.getcwd()}
    temporary_copy(path / NAME, json.dumps(note, indent=1).encode()).replace(path / NAME)


def read_command(path: Path) -> tuple[str, dict[str, Any], Path]:
    """Return verb, options and the directory in which it was given.

    Raises
    ------
    ConfigurationError
        If there is none, it cannot be understood, or another user could have written it: what it
        names is run.
    """
    text = read_private(path / NAME)
    if text is None:
        raise ConfigurationError(
            f"it is not known how {path} was begun: there is no {path / NAME}",
            cause="it was begun from Python, or it is no run directory",
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
            do="give the command again that began the run: it goes on where the run ended",
        ) from error

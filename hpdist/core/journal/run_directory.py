"""The directory of a run, and the paths of its files."""

from __future__ import annotations

from pathlib import Path

from hpdist.core.journal.durable_files import make_directory
from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.validation import check_path


class RunDirectory:
    """The files of one run.

    Attributes
    ----------
    path, journal, key, tls, connection, lock, logs, configs, outbox
        The directory, and the files and directories in it.
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
        self.outbox = self.path / "outbox"

    def create(self) -> None:
        """Create the directory, for its owner only; an existing one is left as it is.

        Raises
        ------
        ConfigurationError
            If it cannot be created.
        """
        try:
            make_directory(self.path)
        except OSError as error:
            raise ConfigurationError(
                f"the run directory {self.path} cannot be made",
                cause=str(error.strerror),
                do="choose another directory for the run",
            ) from error

    def attempt_directory(self, trial_id: int, budget: float, attempt: int) -> Path:
        """Return the directory for the files of an attempt, another one for each budget."""
        return self.configs / str(trial_id) / f"b{_budget_name(budget)}" / f"a{attempt}"


def _budget_name(budget: float) -> str:
    whole = float(budget).is_integer() and abs(budget) < 1e15
    return str(int(budget)) if whole else repr(float(budget))

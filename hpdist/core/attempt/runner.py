"""The port of a runner, which runs one attempt after another for a worker.

`inline_runner` has one for this process, `child_runner` one for a child process, and
`hpdist.executors.backends` one for an agent in another system.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from hpdist.core.attempt.stop_switch import StopSwitch
from hpdist.core.model.events import Assignment, AttemptResult
from hpdist.core.model.payload import Payload
from hpdist.core.objective.context import Report


class Runner(Protocol):
    """Runs one attempt at a time, all from one thread that lives as long as the runner."""

    def start(self, switch: StopSwitch | None = None) -> None:
        """Make ready, so that the objective is built before the first attempt.

        Returns without an error when ``switch`` is cancelled meanwhile.

        Raises
        ------
        ConfigurationError
            If the objective cannot be built, with its traceback.
        """
        ...

    def run(
        self,
        payload: Payload,
        assignment: Assignment,
        *,
        directory_root: Path | None = None,
        on_report: Report | None = None,
        switch: StopSwitch | None = None,
    ) -> AttemptResult | None:
        """Run the assigned attempt; return None if it was cancelled, so that it is released.

        Parameters
        ----------
        directory_root
            The run's directory, see `hpdist.core.journal.run_directory`; None for a temporary
            directory that is removed at `close`.
        on_report
            Called in this thread with each intermediate loss.
        switch
            Ends the attempt early from another thread.
        """
        ...

    def close(self) -> None:
        """End all processes of the runner; may be called twice."""
        ...

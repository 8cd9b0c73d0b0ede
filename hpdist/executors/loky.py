"""Runs attempts in processes of loky, with a pool of one process per worker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpdist.core.attempt.child_process import ChildProcess
from hpdist.core.attempt.child_runner import ChildRunner
from hpdist.core.attempt.runner import Runner
from hpdist.core.objective.objective import Objective
from hpdist.executors.local import LocalExecutor
from hpdist.executors.loky_process import LokyProcess, import_loky


class LokyExecutor(LocalExecutor):
    """As `LocalExecutor`, with the processes of the loky package (``pip install "hpdist[loky]"``).

    It sends functions by value as well. The output of objectives is printed, not recorded.

    Raises
    ------
    ConfigurationError
        If loky is not installed, or as `LocalExecutor` does.
    """

    def _with_process(self, objective: Objective, limits: dict[str, Any], device: str) -> Runner:
        return LokyRunner(objective, **limits, device=device)


class LokyRunner(ChildRunner):
    """A `ChildRunner` whose child belongs to a pool of one process.

    One process a pool, since loky gives up everything that a pool runs when one of its processes
    dies: so a death costs one attempt.
    """

    def __init__(self, objective: Objective, **options: Any) -> None:
        import_loky()
        super().__init__(objective, **options)

    def _make_child(self, environment: Mapping[str, str]) -> ChildProcess:
        return LokyProcess(environment)

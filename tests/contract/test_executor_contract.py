"""Every executor that runs attempts by itself keeps the contract."""

from __future__ import annotations

import loky.backend.resource_tracker
import pytest

from hpdist.executors.base import Executor
from hpdist.executors.local import LocalExecutor
from hpdist.executors.loky import LokyExecutor
from hpdist.executors.serial import SerialExecutor
from hpdist.objective import Objective
from hpdist.testing.executors import CancellingExecutorContract, ExecutorContract


class TestSerialExecutor(ExecutorContract):
    def make(self, objective: Objective) -> Executor:
        return SerialExecutor(objective)


class TestLocalExecutorWithProcesses(CancellingExecutorContract):
    def make(self, objective: Objective) -> Executor:
        return LocalExecutor(objective, workers=1)


class TestLokyExecutor(CancellingExecutorContract):
    @pytest.fixture(autouse=True)
    def _tracker_runs(self) -> None:
        # a process that loky keeps, once for all pools, until this one ends
        loky.backend.resource_tracker.ensure_running()

    def make(self, objective: Objective) -> Executor:
        return LokyExecutor(objective, workers=1)


class TestLocalExecutorInThreads(CancellingExecutorContract):
    def make(self, objective: Objective) -> Executor:
        return LocalExecutor(objective, workers=2, isolation="none")

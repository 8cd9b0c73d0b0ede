"""Every executor that runs attempts by itself keeps the contract."""

from __future__ import annotations

from hpdist.executors.base import Executor
from hpdist.executors.local import LocalExecutor
from hpdist.executors.serial import SerialExecutor
from hpdist.objective import Objective
from hpdist.testing.executors import CancellingExecutorContract, ExecutorContract


class TestSerialExecutor(ExecutorContract):
    def make(self, objective: Objective) -> Executor:
        return SerialExecutor(objective)


class TestLocalExecutorWithProcesses(CancellingExecutorContract):
    def make(self, objective: Objective) -> Executor:
        return LocalExecutor(objective, workers=1)


class TestLocalExecutorInThreads(CancellingExecutorContract):
    def make(self, objective: Objective) -> Executor:
        return LocalExecutor(objective, workers=2, isolation="none")

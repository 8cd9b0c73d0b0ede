"""The contract of the executor on MPI; `test_executor_contract` runs this under mpiexec."""

from __future__ import annotations

import pytest

from hpdist.core.dispatch.executor import Executor
from hpdist.core.objective.objective import Objective
from hpdist.executors.backends.external_executor import Connection, ExternalExecutor
from hpdist.executors.backends.mpi import MpiBackend
from hpdist.testing.executors import CancellingExecutorContract


@pytest.fixture(scope="module", autouse=True)
def mpi_runs() -> None:
    # threads that mpi4py keeps until this process ends
    from mpi4py.futures import MPIPoolExecutor

    with MPIPoolExecutor(1) as pool:
        pool.submit(int).result()


class TestMpiExecutor(CancellingExecutorContract):
    def make(self, objective: Objective) -> Executor:
        return ExternalExecutor(MpiBackend(Connection()), "mpi", objective)

"""Every executor that runs attempts by itself keeps the contract."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import distributed
import loky.backend.resource_tracker
import pytest
import ray

from hpdist.executors.base import Executor
from hpdist.executors.dask import DaskSystem
from hpdist.executors.far import Connection, FarExecutor
from hpdist.executors.local import LocalExecutor
from hpdist.executors.loky import LokyExecutor
from hpdist.executors.ray import RaySystem
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


@pytest.fixture(scope="module")
def dask_cluster() -> Iterator[None]:
    with (
        distributed.LocalCluster(
            n_workers=1, processes=True, threads_per_worker=1, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        client.submit(int).result()
        yield


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[None]:
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    ray.get(ray.put(1))
    yield
    ray.shutdown()


@pytest.mark.filterwarnings("default")
@pytest.mark.usefixtures("dask_cluster")
class TestDaskExecutor(CancellingExecutorContract):
    def make(self, objective: Objective) -> Executor:
        return FarExecutor(DaskSystem(Connection()), "dask", objective)


@pytest.mark.filterwarnings("default")
@pytest.mark.usefixtures("ray_cluster")
class TestRayExecutor(CancellingExecutorContract):
    def make(self, objective: Objective) -> Executor:
        return FarExecutor(RaySystem(Connection()), "ray", objective)


def test_the_executor_on_mpi_keeps_the_contract_too() -> None:
    python = Path(sys.executable)
    command = [python.with_name("mpiexec"), "-n", "2", python, "-m", "mpi4py.futures", "-m"]
    ended = subprocess.run(
        [*command, "pytest", "-v", Path(__file__).with_name("mpi_executor.py")],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert ended.returncode == 0, ended.stdout[-3000:]
    assert "8 passed" in ended.stdout, ended.stdout

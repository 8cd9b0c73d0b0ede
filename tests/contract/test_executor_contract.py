"""Every executor that runs attempts by itself keeps the contract."""

from __future__ import annotations

import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from hpdist.cluster.local_cluster import own_cluster, reference_of
from hpdist.core.attempt.child_runner import ChildRunner
from hpdist.core.dispatch.executor import Executor, Post
from hpdist.core.model.limits_and_timing import Timing
from hpdist.core.model.orders import Order
from hpdist.core.model.values import WorkerInfo
from hpdist.core.objective.objective import Objective
from hpdist.core.remote.outbox import Outbox
from hpdist.core.remote.session import Session
from hpdist.core.run.assembly import RunInstance
from hpdist.executors.backends.dask import DaskBackend
from hpdist.executors.backends.external_executor import Connection, ExternalExecutor
from hpdist.executors.backends.ray import RayBackend
from hpdist.executors.local import LocalExecutor
from hpdist.executors.loky import LokyExecutor
from hpdist.executors.serial import SerialExecutor
from hpdist.folder.election import Election
from hpdist.folder.leader import FolderExecutor
from hpdist.folder.transport import FolderChannel
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
        from loky.backend import resource_tracker

        resource_tracker.ensure_running()

    def make(self, objective: Objective) -> Executor:
        return LokyExecutor(objective, workers=1)


class TestLocalExecutorInThreads(CancellingExecutorContract):
    def make(self, objective: Objective) -> Executor:
        return LocalExecutor(objective, workers=2, isolation="none")


@pytest.fixture(scope="module")
def dask_cluster() -> Iterator[None]:
    import distributed

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
    import ray

    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    ray.get(ray.put(1))
    yield
    ray.shutdown()


@pytest.mark.filterwarnings("default")
@pytest.mark.usefixtures("dask_cluster")
@pytest.mark.slow
class TestDaskExecutor(CancellingExecutorContract):
    def make(self, objective: Objective) -> Executor:
        return ExternalExecutor(DaskBackend(Connection()), "dask", objective)


@pytest.mark.filterwarnings("default")
@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.slow
class TestRayExecutor(CancellingExecutorContract):
    def make(self, objective: Objective) -> Executor:
        return ExternalExecutor(RayBackend(Connection()), "ray", objective)


TIMING = Timing(lease_s=4.0, heartbeat_s=0.2, poll_s=0.5)


@pytest.mark.slow
class TestClusterExecutor(CancellingExecutorContract):
    """With a worker process of its own, as ``executor="cluster"`` starts them."""

    @pytest.fixture(autouse=True)
    def _directory(self, tmp_path: Path) -> None:
        self.directory = tmp_path / "run"

    def make(self, objective: Objective) -> Executor:
        self.directory.mkdir()
        executor = own_cluster(reference_of(objective), self.directory, 1, {}, timing=TIMING)
        executor.take_over(RunInstance("this"))
        return executor


class FolderWithAWorker:
    """The executor of a shared folder, and one worker that writes to it."""

    keeps_running = True

    def __init__(self, objective: Objective, directory: Path) -> None:
        name, incarnation = "worker-0", uuid.uuid4().hex
        election = Election(directory / "terms", name, 10.0)
        assert election.try_to_lead()
        self._leader = FolderExecutor(directory, TIMING)
        self._leader.take_over(RunInstance("this"))
        self._runner = ChildRunner(objective)
        self._session = Session(
            WorkerInfo(name, incarnation),
            directory.name,
            self._runner,
            lambda: FolderChannel(
                directory / "messages", uuid.uuid4().hex, directory.name, election.read_heartbeat
            ),
            Outbox(directory / "outbox", name, incarnation),
            directory=directory,
        )
        self._thread = threading.Thread(target=self._work)

    def start(self, post: Post) -> None:
        self._leader.start(post)
        self._thread.start()

    def perform(self, orders: Sequence[Order]) -> None:
        self._leader.perform(orders)

    def close(self, grace_s: float) -> None:
        self._session.leave("the test is over", at_once=True)
        self._leader.close(grace_s)
        for thread in threading.enumerate():
            if thread is self._thread or thread.name.endswith("worker-0"):
                thread.join()

    def _work(self) -> None:
        self._runner.start()
        try:
            self._session.run()
        finally:
            self._runner.close()


@pytest.mark.slow
class TestFolderExecutor(CancellingExecutorContract):
    @pytest.fixture(autouse=True)
    def _directory(self, tmp_path: Path) -> None:
        self.directory = tmp_path

    def make(self, objective: Objective) -> Executor:
        return FolderWithAWorker(objective, self.directory)


@pytest.mark.slow
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
    assert "9 passed" in ended.stdout, ended.stdout

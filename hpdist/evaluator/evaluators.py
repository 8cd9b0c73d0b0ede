"""An evaluator for each way to run jobs."""

from __future__ import annotations

import sys
from pathlib import Path

from hpdist.core.dispatch.executor import Executor
from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.validation import check_path
from hpdist.evaluator.base import Evaluator
from hpdist.evaluator.cluster import jobs_cluster
from hpdist.evaluator.coroutines import CoroutineExecutor


class SerialEvaluator(Evaluator, method="serial"):
    """Runs jobs in one thread of this process: coroutines concurrently, functions in turn."""

    EXECUTOR = "serial"

    def _executor(self, root: Path) -> Executor:
        if self._options:
            raise ConfigurationError(
                f"a SerialEvaluator takes no executor_options, got {sorted(self._options)}"
            )
        return CoroutineExecutor(self._objective, self.num_workers, root)


class ThreadPoolEvaluator(Evaluator, method="thread"):
    """Runs jobs in threads of this process. A running job cannot be ended, only abandoned."""

    EXECUTOR = "thread"


class ProcessPoolEvaluator(Evaluator, method="process"):
    """Runs jobs in processes. One that dies is replaced, and costs the job that it ran."""

    EXECUTOR = "process"


class LokyEvaluator(Evaluator, method="loky"):
    """Runs jobs in processes of loky (``pip install "hpdist[loky]"``)."""

    EXECUTOR = "loky"


class RayEvaluator(Evaluator, method="ray"):
    """Runs jobs in Ray."""

    EXECUTOR = "ray"


class DaskEvaluator(Evaluator, method="dask"):
    """Runs jobs in Dask."""

    EXECUTOR = "dask"


class MPICommEvaluator(Evaluator, method="mpicomm"):
    """Runs jobs in ranks of MPI."""

    EXECUTOR = "mpi"

    @property
    def is_master(self) -> bool:
        mpi = sys.modules.get("mpi4py.MPI")
        return mpi is None or mpi.COMM_WORLD.Get_rank() == 0


class ClusterEvaluator(Evaluator, method="cluster"):
    """Runs jobs in worker processes of hpdist, and on those started on other hosts.

    ``executor_options={"run": DIR}`` names the run directory, which others need:
    ``hpdist worker hpdist.evaluator.cluster:JobWorker --run DIR``. The function has to be at the
    top level of a file, and ``run_function_kwargs`` to be JSON.
    """

    EXECUTOR = "cluster"

    def _executor(self, root: Path) -> Executor:
        options = dict(self._options)
        directory = check_path("run", options.pop("run", root)).absolute()
        return jobs_cluster(self._objective, directory, self.num_workers, options)

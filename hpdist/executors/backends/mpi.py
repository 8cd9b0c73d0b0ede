"""Attempts on the ranks of an MPI job: ``mpiexec -n 3 python -m mpi4py.futures script.py``.

Orders go through mpi4py.futures; messages about a running order go from rank to rank. MPI ends all
ranks when one of them dies: the run stops then, and the same command resumes it.
"""

from __future__ import annotations

import atexit
import queue
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from typing import Any

from hpdist.core.model.errors import ConfigurationError
from hpdist.executors.backends.agent import AGENT
from hpdist.executors.backends.external_executor import Connection
from hpdist.executors.backends.external_runner import BackendSlot, OnEvent
from hpdist.executors.backends.packaging import PackagedObjective

#: Tag of a message with an event of an order.
EVENT = 7101

#: Tag of a message that asks to end an order's attempt early.
END_EARLY = 7102

#: Seconds between two polls for messages, since a rank that waits in MPI keeps a CPU busy.
POLL_S = 0.02


class MpiBackend:
    """The other ranks of this job, each with capacity for one evaluation."""

    def __init__(self, connection: Connection) -> None:
        if connection.address is not None or connection.resources:
            raise ConfigurationError(
                'executor="mpi" takes no address and no resources',
                cause="the job's ranks are what there is",
                do="ask mpiexec, or the batch system, for what an evaluation needs",
            )
        self._futures, self._mpi = import_mpi()
        self._comm = self._mpi.COMM_WORLD
        if self._comm.Get_size() < 2 or self._mpi.Query_thread() < self._mpi.THREAD_MULTIPLE:
            raise ConfigurationError(
                'executor="mpi" has no rank to evaluate on',
                cause=f"this MPI job has {self._comm.Get_size()} rank(s)",
                do="mpiexec -n 3 python -m mpi4py.futures SCRIPT",
            )
        self._on_event: dict[str, OnEvent] = {}
        self._requests: queue.SimpleQueue[tuple[str, int, float | None]] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._executor: Any = None
        self._listener: threading.Thread | None = None

    def connect(self, packaged: PackagedObjective, workers: int | None) -> list[BackendSlot]:
        ranks = self._comm.Get_size() - 1
        if (workers or 0) > ranks:
            raise ConfigurationError(
                f"{workers} workers were asked for, and this MPI job has {ranks} ranks for them",
                do=f"mpiexec -n {(workers or 0) + 1} python -m mpi4py.futures SCRIPT",
            )
        self._executor = self._futures.MPIPoolExecutor(
            max_workers=ranks, main=False, initializer=keep, initargs=(packaged,)
        )
        self._listener = threading.Thread(target=self._listen, name="hpdist-mpi", daemon=True)
        self._listener.start()
        return [_MpiSlot(self) for _ in range(workers or ranks)]

    def close(self) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=True)
            self._executor = None
        self._closing.set()  # only now, when no rank sends events any more
        if self._listener is not None:
            self._listener.join()
            self._listener = None

    def submit(self, token: str, order: str, on_event: OnEvent) -> Future[str]:
        """Have a rank run an order."""
        self._on_event[token] = on_event
        future: Future[str] = self._executor.submit(run_order, token, order)
        return future

    def forget(self, token: str) -> None:
        """Pass on no more events of an order."""
        self._on_event.pop(token, None)

    def end_early(self, token: str, rank: int, grace_s: float | None) -> None:
        """Ask the rank that runs an order to end it early."""
        self._requests.put((token, rank, grace_s))

    def _listen(self) -> None:
        """Pass on the events of all ranks, and send requests; the body of a thread."""
        sending: list[Any] = []
        closing = False
        while not closing:
            closing = self._closing.wait(POLL_S)
            for token, event in _received(self._comm, EVENT):
                if (on_event := self._on_event.get(token)) is not None:
                    on_event(event)
            # MPI reads the memory of what is sent until the request is done, so it has to stay
            sending = [sent for sent in sending if not sent.Test()]
            if not closing:
                sending += self._send_requests()

    def _send_requests(self) -> list[Any]:
        sending = []
        while not self._requests.empty():
            token, rank, grace_s = self._requests.get()
            sending.append(self._comm.isend((token, grace_s), dest=rank, tag=END_EARLY))
        return sending


class _MpiSlot:
    """Capacity for one order: which rank takes it, mpi4py decides each time."""

    def __init__(self, backend: MpiBackend) -> None:
        self._backend = backend

    def open(self) -> None:
        pass  # ranks exist from the start to the end

    def submit(self, token: str, order: str, on_event: OnEvent) -> Future[str]:
        return self._backend.submit(token, order, on_event)

    def end_early(self, token: str, location: Mapping[str, Any], grace_s: float | None) -> None:
        self._backend.end_early(token, location["rank"], grace_s)

    def forget(self, token: str) -> None:
        self._backend.forget(token)

    def close(self) -> None:
        pass


_kept: list[PackagedObjective] = []


def keep(packaged: PackagedObjective) -> None:
    """Keep the objective, once a rank and search."""
    if not _kept:
        atexit.register(_receive_requests)
    _kept[:] = [packaged]


def _received(comm: Any, tag: int) -> Iterator[Any]:
    """Receive the messages with ``tag`` that have arrived."""
    while comm.iprobe(tag=tag):
        yield comm.recv(tag=tag)


def _receive_requests() -> None:
    """Receive the requests to end orders early; those about an order that is over have no effect.

    MPI_Finalize fails, and ends the other ranks, where a message was never received.
    """
    from mpi4py import MPI

    for token, grace_s in _received(MPI.COMM_WORLD, END_EARLY):
        AGENT.end_early(token, grace_s)


def run_order(token: str, order: str) -> str:
    """Run an order on the rank that this is called on."""
    from mpi4py import MPI

    comm = MPI.COMM_WORLD
    over = threading.Event()

    def send(event: dict[str, Any]) -> None:
        if "started" in event:
            event["started"]["rank"] = comm.Get_rank()
        comm.send((token, event), dest=0, tag=EVENT)

    def listen() -> None:
        while not over.wait(POLL_S):
            _receive_requests()

    listener = threading.Thread(target=listen, name="hpdist-mpi", daemon=True)
    listener.start()
    try:
        return AGENT.run(_kept[0], token, order, send)
    finally:
        over.set()
        listener.join()


def import_mpi() -> tuple[Any, Any]:
    """Return two modules of mpi4py, or raise an error that names how to install it."""
    try:
        from mpi4py import MPI, futures
    except (ImportError, RuntimeError) as error:
        raise ConfigurationError(
            'executor="mpi" needs mpi4py and an MPI library, and one is not installed',
            cause=str(error),
            do='pip install "hpdist[mpi]"',
        ) from error
    return futures, MPI

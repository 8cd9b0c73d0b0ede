"""Attempts on the ranks of an MPI job: ``mpiexec -n 3 python -m mpi4py.futures script.py``.

Orders go through mpi4py.futures; what is said meanwhile goes from rank to rank. MPI ends all ranks
when one of them dies: the run stops then, and the same command resumes it.
"""

from __future__ import annotations

import atexit
import queue
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from typing import Any

from hpdist.core.model.errors import ConfigurationError
from hpdist.executors.backends.agent import HERE
from hpdist.executors.backends.executor import Connection
from hpdist.executors.backends.packaging import Shipment
from hpdist.executors.backends.runner import FarPost, News

#: What a message is about: news of an order, or a wish about one.
NEWS, WISH = 7101, 7102

#: Seconds between two looks for messages, since a rank that waits in MPI keeps a CPU busy.
LOOK_S = 0.02


class MpiSystem:
    """The other ranks of this job, each with room for one evaluation."""

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
        self._news: dict[str, News] = {}
        self._wishes: queue.SimpleQueue[tuple[str, int, float | None]] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._executor: Any = None
        self._listener: threading.Thread | None = None

    def connect(self, shipment: Shipment, workers: int | None) -> list[FarPost]:
        ranks = self._comm.Get_size() - 1
        if (workers or 0) > ranks:
            raise ConfigurationError(
                f"{workers} workers were asked for, and this MPI job has {ranks} ranks for them",
                do=f"mpiexec -n {(workers or 0) + 1} python -m mpi4py.futures SCRIPT",
            )
        self._executor = self._futures.MPIPoolExecutor(
            max_workers=ranks, main=False, initializer=keep, initargs=(shipment,)
        )
        self._listener = threading.Thread(target=self._listen, name="hpdist-mpi", daemon=True)
        self._listener.start()
        return [_MpiPost(self) for _ in range(workers or ranks)]

    def close(self) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=True)
            self._executor = None
        self._closing.set()  # only now, when no rank has news any more
        if self._listener is not None:
            self._listener.join()
            self._listener = None

    def submit(self, token: str, order: str, on_news: News) -> Future[str]:
        """Have a rank run an order."""
        self._news[token] = on_news
        future: Future[str] = self._executor.submit(run_order, token, order)
        return future

    def forget(self, token: str) -> None:
        """Pass on no more news of an order."""
        self._news.pop(token, None)

    def tell(self, token: str, rank: int, grace_s: float | None) -> None:
        """Speak to a rank that runs an order."""
        self._wishes.put((token, rank, grace_s))

    def _listen(self) -> None:
        """Pass on what the ranks tell, to the last word; the body of a thread."""
        sending: list[Any] = []
        closing = False
        while not closing:
            closing = self._closing.wait(LOOK_S)
            for token, news in _received(self._comm, NEWS):
                if (on_news := self._news.get(token)) is not None:
                    on_news(news)
            # a request keeps what it sends in memory until that has gone
            sending = [request for request in sending if not request.Test()]
            if not closing:
                sending += self._send_wishes()

    def _send_wishes(self) -> list[Any]:
        sending = []
        while not self._wishes.empty():
            token, rank, grace_s = self._wishes.get()
            sending.append(self._comm.isend((token, grace_s), dest=rank, tag=WISH))
        return sending


class _MpiPost:
    """Room for one order: which rank takes it, mpi4py decides each time."""

    def __init__(self, system: MpiSystem) -> None:
        self._system = system

    def open(self) -> None:
        pass  # ranks are there from the beginning to the end

    def begin(self, token: str, order: str, on_news: News) -> Future[str]:
        return self._system.submit(token, order, on_news)

    def tell(self, token: str, where: Mapping[str, Any], grace_s: float | None) -> None:
        self._system.tell(token, where["rank"], grace_s)

    def end(self, token: str) -> None:
        self._system.forget(token)

    def close(self) -> None:
        pass


_kept: list[Shipment] = []


def keep(shipment: Shipment) -> None:
    """Take the objective in, once a rank and search."""
    if not _kept:
        atexit.register(_take_wishes)
    _kept[:] = [shipment]


def _received(comm: Any, tag: int) -> Iterator[Any]:
    """Receive what has come under ``tag``."""
    while comm.iprobe(tag=tag):
        yield comm.recv(tag=tag)


def _take_wishes() -> None:
    """Take in the wishes that have come; those about an order that is over mean nothing.

    MPI_Finalize fails, and ends the other ranks, where a message was never received.
    """
    from mpi4py import MPI

    for token, grace_s in _received(MPI.COMM_WORLD, WISH):
        HERE.tell(token, grace_s)


def run_order(token: str, order: str) -> str:
    """Run an order on the rank that this is called on."""
    from mpi4py import MPI

    comm, over = MPI.COMM_WORLD, threading.Event()

    def send(news: dict[str, Any]) -> None:
        if "begun" in news:
            news["begun"]["rank"] = comm.Get_rank()
        comm.send((token, news), dest=0, tag=NEWS)

    def listen() -> None:
        while not over.wait(LOOK_S):
            _take_wishes()

    listener = threading.Thread(target=listen, name="hpdist-mpi", daemon=True)
    listener.start()
    try:
        return HERE.run(_kept[0], token, order, send)
    finally:
        over.set()
        listener.join()


def import_mpi() -> tuple[Any, Any]:
    """Return the two modules of mpi4py that are needed, or say how to install it."""
    try:
        from mpi4py import MPI, futures
    except (ImportError, RuntimeError) as error:
        raise ConfigurationError(
            'executor="mpi" needs mpi4py and an MPI library, and one is not installed',
            cause=str(error),
            do='pip install "hpdist[mpi]"',
        ) from error
    return futures, MPI

"""Attempts as tasks of Dask, on an existing cluster or on one of this process's threads."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from hpdist.core.model.errors import ConfigurationError, TransportError
from hpdist.executors.backends.agent import AGENT
from hpdist.executors.backends.external_executor import Connection
from hpdist.executors.backends.external_runner import BackendSlot, OnEvent
from hpdist.executors.backends.packaging import PackagedObjective

#: Seconds in which a scheduler has to answer.
CONNECT_S = 30.0


class DaskBackend:
    """A Dask cluster; with no address a client that is open here, or else a cluster of threads."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._distributed = import_distributed()
        self._made: list[Any] = []
        self._client: Any = None
        self._on_event: dict[str, OnEvent] = {}
        self._topic = ""

    def connect(self, packaged: PackagedObjective, workers: int | None) -> list[BackendSlot]:
        client = self._client = self._reach(workers)
        self._topic = f"hpdist-{packaged.key[:16]}-{id(self)}"
        client.subscribe_topic(self._topic, self._receive)
        # a task, so that Dask computes it again when the worker that has its result dies
        source = client.submit(_itself, packaged, pure=False)
        if workers is None:
            workers = sum(client.nthreads().values())
        return [_DaskSlot(self, source) for _ in range(max(1, workers))]

    def close(self) -> None:
        if self._client is not None:
            self._client.unsubscribe_topic(self._topic)
            self._client = None
        if self._made:
            AGENT.clear()  # of workers that are threads of this process
        while self._made:
            self._made.pop().close()

    def submit(self, source: Any, token: str, order: str, on_event: OnEvent) -> Any:
        """Submit an order to a worker; return Dask's future."""
        self._on_event[token] = on_event
        return self._client.submit(
            run_order,
            source,
            token,
            order,
            self._topic,
            key=f"hpdist-{token}",
            pure=False,
            resources=dict(self._connection.resources) or None,
        )

    def forget(self, token: str) -> None:
        """Stop passing on events of an order."""
        self._on_event.pop(token, None)

    def end_early(self, token: str, address: str, grace_s: float | None) -> None:
        """Ask a worker, beside its tasks, to end an attempt early."""
        self._client.run(end_early_here, token, grace_s, workers=[address], on_error="ignore")

    def _receive(self, message: tuple[float, Any]) -> None:
        token, event = message[1]
        if (on_event := self._on_event.get(token)) is not None:
            on_event(event)

    def _reach(self, workers: int | None) -> Any:
        distributed, address = self._distributed, self._connection.address
        if address is None:
            try:
                return distributed.get_client(timeout=0)
            except ValueError:
                return self._own(workers)
        try:
            client = distributed.Client(address, timeout=CONNECT_S, set_as_default=False)
        except (OSError, ValueError) as error:
            raise TransportError(
                f"no Dask scheduler answers at {address}",
                cause=str(error),
                do="dask scheduler; then: dask worker ADDRESS",
            ) from error
        self._made.append(client)
        return client

    def _own(self, workers: int | None) -> Any:
        distributed = self._distributed
        # In this process, since attempts have processes of their own. By Dask's defaults both would
        # listen for browsers on the network, even where no dashboard is asked for.
        options = {
            "protocol": "inproc://",
            "dashboard": False,
            "dashboard_address": "127.0.0.1:0",
        }
        resources = dict(self._connection.resources) or None
        # no memory limit: the memory is used by the processes of the attempts
        worker = {**options, "nthreads": workers, "resources": resources, "memory_limit": 0}
        cluster = distributed.SpecCluster(
            scheduler={"cls": distributed.Scheduler, "options": options},
            workers={0: {"cls": distributed.Worker, "options": worker}},
            silence_logs=logging.WARNING,
        )
        self._made.append(cluster)
        client = self._distributed.Client(cluster, set_as_default=False)
        self._made.append(client)
        return client


class _DaskSlot:
    """Capacity for one task; Dask chooses the worker of each task."""

    def __init__(self, backend: DaskBackend, source: Any) -> None:
        self._backend = backend
        self._source = source

    def open(self) -> None:
        pass  # Dask replaces workers by itself

    def submit(self, token: str, order: str, on_event: OnEvent) -> Future[str]:
        return _Bridged(self._backend.submit(self._source, token, order, on_event))

    def end_early(self, token: str, location: Mapping[str, Any], grace_s: float | None) -> None:
        self._backend.end_early(token, location["address"], grace_s)

    def forget(self, token: str) -> None:
        self._backend.forget(token)

    def close(self) -> None:
        pass


class _Bridged(Future[str]):
    """A future of Dask, wrapped as one of Python."""

    def __init__(self, theirs: Any) -> None:
        super().__init__()
        self._theirs = theirs
        theirs.add_done_callback(self._settle)

    def cancel(self) -> bool:
        if not super().cancel():
            return False
        self._theirs.cancel()
        self.set_running_or_notify_cancel()
        return True

    def _settle(self, theirs: Any) -> None:
        if self.done():
            return
        if theirs.status == "finished":
            self.set_result(theirs.result())
        else:
            error = theirs.exception() if theirs.status == "error" else None
            self.set_exception(error or RuntimeError(f"Dask gave it up: {theirs.status}"))


def run_order(packaged: PackagedObjective, token: str, order: str, topic: str) -> str:
    """Run an order in a Dask worker: the task."""
    from distributed import get_worker
    from distributed.utils import sync

    worker = get_worker()

    def send(event: dict[str, Any]) -> None:
        if "started" in event:
            event["started"]["address"] = worker.address
            # Waited for: if the worker dies at once, the executor still knows that the order was
            # started. Dask runs the task again elsewhere by itself, and this second start must not
            # be taken for the first.
            sync(worker.loop, worker.scheduler.log_event, topic=topic, msg=(token, event))
        else:
            worker.log_event(topic, (token, event))

    return AGENT.run(packaged, token, order, send)


def end_early_here(token: str, grace_s: float | None) -> None:
    AGENT.end_early(token, grace_s)


def _itself(packaged: PackagedObjective) -> PackagedObjective:
    return packaged


def import_distributed() -> Any:
    """Return Dask's package, or raise an error that names how to install it."""
    try:
        import distributed
    except ImportError as error:
        raise ConfigurationError(
            'executor="dask" needs the package distributed, which is not installed',
            cause=str(error),
            do='pip install "hpdist[dask]"',
        ) from error
    return distributed

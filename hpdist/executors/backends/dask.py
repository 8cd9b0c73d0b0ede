"""Attempts as tasks of Dask, on a cluster that is there or on one of this process's threads."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from hpdist.core.model.errors import ConfigurationError, TransportError
from hpdist.executors.backends.agent import HERE
from hpdist.executors.backends.executor import Connection
from hpdist.executors.backends.packaging import Shipment
from hpdist.executors.backends.runner import FarPost, News

#: Seconds in which a scheduler has to answer.
CONNECT_S = 30.0


class DaskSystem:
    """A Dask cluster; with no address a client that is open here, or else a cluster of threads."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._distributed = import_distributed()
        self._made: list[Any] = []
        self._client: Any = None
        self._news: dict[str, News] = {}
        self._topic = ""

    def connect(self, shipment: Shipment, workers: int | None) -> list[FarPost]:
        client = self._client = self._reach(workers)
        self._topic = f"hpdist-{shipment.key[:16]}-{id(self)}"
        client.subscribe_topic(self._topic, self._hear)
        # a task, so that Dask makes it again where a worker that had it dies
        source = client.submit(_itself, shipment, pure=False)
        if workers is None:
            workers = sum(client.nthreads().values())
        return [_DaskPost(self, source) for _ in range(max(1, workers))]

    def close(self) -> None:
        if self._client is not None:
            self._client.unsubscribe_topic(self._topic)
            self._client = None
        if self._made:
            HERE.clear()  # of workers that are threads of this process
        while self._made:
            self._made.pop().close()

    def submit(self, source: Any, token: str, order: str, on_news: News) -> Any:
        """Have a worker run an order; returns Dask's future."""
        self._news[token] = on_news
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
        """Pass on no more news of an order."""
        self._news.pop(token, None)

    def tell(self, token: str, address: str, grace_s: float | None) -> None:
        """Reach a worker beside its tasks."""
        self._client.run(tell_here, token, grace_s, workers=[address], on_error="ignore")

    def _hear(self, event: tuple[float, Any]) -> None:
        token, news = event[1]
        if (on_news := self._news.get(token)) is not None:
            on_news(news)

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
        # in this process, since attempts have processes of their own; Dask's own default would have
        # both listen for browsers on the network, even where no dashboard is asked for
        options = {
            "protocol": "inproc://",
            "dashboard": False,
            "dashboard_address": "127.0.0.1:0",
        }
        resources = dict(self._connection.resources) or None
        # no limit of memory: what takes some is in the processes of the attempts
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


class _DaskPost:
    """Room for one task: which worker runs it, Dask decides each time."""

    def __init__(self, system: DaskSystem, source: Any) -> None:
        self._system, self._source = system, source

    def open(self) -> None:
        pass  # Dask replaces workers by itself

    def begin(self, token: str, order: str, on_news: News) -> Future[str]:
        return _Bridged(self._system.submit(self._source, token, order, on_news))

    def tell(self, token: str, where: Mapping[str, Any], grace_s: float | None) -> None:
        self._system.tell(token, where["address"], grace_s)

    def end(self, token: str) -> None:
        self._system.forget(token)

    def close(self) -> None:
        pass


class _Bridged(Future[str]):
    """A future of Dask's as one of Python's."""

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


def run_order(shipment: Shipment, token: str, order: str, topic: str) -> str:
    """Run an order in a Dask worker: the task."""
    from distributed import get_worker
    from distributed.utils import sync

    worker = get_worker()

    def send(news: dict[str, Any]) -> None:
        if "begun" in news:
            news["begun"]["address"] = worker.address
            # Waited for: a worker that dies at once has been heard of, so that what Dask does by
            # itself, to run the task again elsewhere, is not taken for its first run.
            sync(worker.loop, worker.scheduler.log_event, topic=topic, msg=(token, news))
        else:
            worker.log_event(topic, (token, news))

    return HERE.run(shipment, token, order, send)


def tell_here(token: str, grace_s: float | None) -> None:
    HERE.tell(token, grace_s)


def _itself(shipment: Shipment) -> Shipment:
    return shipment


def import_distributed() -> Any:
    """Return Dask's package, or say how to install it."""
    try:
        import distributed
    except ImportError as error:
        raise ConfigurationError(
            'executor="dask" needs the package distributed, which is not installed',
            cause=str(error),
            do='pip install "hpdist[dask]"',
        ) from error
    return distributed

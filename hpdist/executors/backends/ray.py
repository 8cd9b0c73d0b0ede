"""Attempts in actors of Ray, on a cluster that is there or on one of this machine's."""

from __future__ import annotations

import logging
import math
import queue
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from hpdist.core.model.errors import ConfigurationError, TransportError
from hpdist.executors.backends.agent import HERE
from hpdist.executors.backends.executor import Connection
from hpdist.executors.backends.packaging import Shipment
from hpdist.executors.backends.runner import FarPost, News

#: Resources that have a parameter of their own.
_PARAMETERS = {"CPU": "num_cpus", "GPU": "num_gpus", "memory": "memory"}


class RaySystem:
    """A Ray cluster; with no address the one this process is connected to, or else a local one."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._ray = import_ray()
        self._began = False

    def connect(self, shipment: Shipment, workers: int | None) -> list[FarPost]:
        ray = self._ray
        if not ray.is_initialized():
            self._reach(workers)
        resources = {"CPU": 1.0, **self._connection.resources}
        room = _room(ray.cluster_resources(), resources)
        if not room:
            raise ConfigurationError(
                f"the Ray cluster has no room for an evaluation that asks for {resources}",
                cause=f"all it has is {ray.cluster_resources()}",
                do="ask for less, or add a node: ray start --address=ADDRESS",
            )
        count = room if workers is None else workers
        return [_RayPost(ray, shipment, _options(resources)) for _ in range(count)]

    def close(self) -> None:
        if self._began:
            self._began = False
            self._ray.shutdown()

    def _reach(self, workers: int | None) -> None:
        address = self._connection.address
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        if address is None:
            named = self._connection.resources
            custom = {k: v * (workers or 1) for k, v in named.items() if k not in _PARAMETERS}
            options |= {
                "address": "local",
                "num_cpus": None if workers is None else math.ceil(workers * named.get("CPU", 1)),
                "resources": custom or None,
                "include_dashboard": False,
            }
        else:
            options["address"] = address
        try:
            self._ray.init(**options)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise TransportError(
                f"no Ray cluster answers at {address or 'this machine'}",
                cause=str(error),
                do="ray start --head; then give the address that it prints",
            ) from error
        self._began = True


class _RayPost:
    """An actor, made anew when its process dies."""

    def __init__(self, ray: Any, shipment: Shipment, options: dict[str, Any]) -> None:
        self._ray, self._shipment, self._options = ray, shipment, options
        self._actor: Any = None

    def open(self) -> None:
        self.close()
        actor = self._ray.remote(Engine)
        self._actor = actor.options(**self._options, max_concurrency=4).remote(self._shipment)

    def begin(self, token: str, order: str, on_news: News) -> Future[str]:
        actor = self._actor
        answer: Future[str] = actor.run.remote(token, order).future()

        def listen(heard: Future[list[dict[str, Any]]] | None = None) -> None:
            if heard is not None:
                if heard.exception() is not None:
                    return  # the answer's future tells why
                news = heard.result()
                for each in news:
                    on_news(each)
                if not news:
                    return
            actor.news.remote(token).future().add_done_callback(listen)

        listen()
        return answer

    def tell(self, token: str, where: Mapping[str, Any], grace_s: float | None) -> None:
        self._actor.tell.remote(token, grace_s)

    def end(self, token: str) -> None:
        pass  # the actor says itself that there is no more

    def close(self) -> None:
        if self._actor is not None and self._ray.is_initialized():
            self._ray.kill(self._actor)
        self._actor = None


class Engine:
    """The actor: runs one order at a time, and is listened and spoken to meanwhile."""

    def __init__(self, shipment: Shipment) -> None:
        self._shipment = shipment
        self._lock = threading.Lock()
        self._told: dict[str, queue.SimpleQueue[dict[str, Any] | None]] = {}

    def run(self, token: str, order: str) -> str:
        """Run an order, and return what came of it."""
        told = self._of(token)
        try:
            return HERE.run(self._shipment, token, order, told.put)
        finally:
            told.put(None)

    def news(self, token: str) -> list[dict[str, Any]]:
        """Wait for news of an order; an empty list says that there will be none."""
        told = self._of(token)
        found: list[dict[str, Any]] = []
        with suppress(queue.Empty):
            each = told.get()
            while each is not None:
                found.append(each)
                each = told.get_nowait()
            if found:
                told.put(None)  # for the next question
            else:
                self._told.pop(token, None)
        return found

    def tell(self, token: str, grace_s: float | None) -> None:
        """Ask an attempt to stop, or cancel it."""
        HERE.tell(token, grace_s)

    def _of(self, token: str) -> queue.SimpleQueue[dict[str, Any] | None]:
        with self._lock:
            return self._told.setdefault(token, queue.SimpleQueue())


def _room(there: Mapping[str, float], each: Mapping[str, float]) -> int:
    """How many evaluations fit on a cluster as a whole."""
    return min(int(there.get(name, 0.0) // amount) for name, amount in each.items() if amount > 0)


def _options(resources: Mapping[str, float]) -> dict[str, Any]:
    known = {_PARAMETERS[name]: value for name, value in resources.items() if name in _PARAMETERS}
    custom = {name: value for name, value in resources.items() if name not in _PARAMETERS}
    return {**known, "resources": custom}


def import_ray() -> Any:
    """Return Ray's package, or say how to install it."""
    try:
        import ray
    except ImportError as error:
        raise ConfigurationError(
            'executor="ray" needs the package ray, which is not installed',
            cause=str(error),
            do='pip install "hpdist[ray]"',
        ) from error
    return ray

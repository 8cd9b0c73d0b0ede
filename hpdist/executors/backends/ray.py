"""Attempts in actors of Ray, on an existing cluster or on a local one."""

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
from hpdist.executors.backends.agent import AGENT
from hpdist.executors.backends.external_executor import Connection
from hpdist.executors.backends.external_runner import BackendSlot, OnEvent
from hpdist.executors.backends.packaging import PackagedObjective

#: Resources that have a parameter of their own.
_PARAMETERS = {"CPU": "num_cpus", "GPU": "num_gpus", "memory": "memory"}


class RayBackend:
    """A Ray cluster; with no address the one this process is connected to, or else a local one."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._ray = import_ray()
        self._initialized = False

    def connect(self, packaged: PackagedObjective, workers: int | None) -> list[BackendSlot]:
        ray = self._ray
        if not ray.is_initialized():
            self._reach(workers)
        resources = {"CPU": 1.0, **self._connection.resources}
        capacity = _capacity(ray.cluster_resources(), resources)
        if not capacity:
            raise ConfigurationError(
                f"the Ray cluster has no room for an evaluation that asks for {resources}",
                cause=f"all it has is {ray.cluster_resources()}",
                do="ask for less, or add a node: ray start --address=ADDRESS",
            )
        count = capacity if workers is None else workers
        return [_RaySlot(ray, packaged, _options(resources)) for _ in range(count)]

    def close(self) -> None:
        if self._initialized:
            self._initialized = False
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
        self._initialized = True


class _RaySlot:
    """An actor, replaced when its process dies."""

    def __init__(self, ray: Any, packaged: PackagedObjective, options: dict[str, Any]) -> None:
        self._ray = ray
        self._packaged = packaged
        self._options = options
        self._actor: Any = None

    def open(self) -> None:
        self.close()
        actor = self._ray.remote(RayAgent)
        self._actor = actor.options(**self._options, max_concurrency=4).remote(self._packaged)

    def submit(self, token: str, order: str, on_event: OnEvent) -> Future[str]:
        actor = self._actor
        answer: Future[str] = actor.run.remote(token, order).future()

        def poll() -> None:
            actor.events.remote(token).future().add_done_callback(receive)

        def receive(polled: Future[list[dict[str, Any]]]) -> None:
            if polled.exception() is not None:
                return  # the answer's future has the error, too
            events = polled.result()
            for event in events:
                on_event(event)
            if events:
                poll()

        poll()
        return answer

    def end_early(self, token: str, location: Mapping[str, Any], grace_s: float | None) -> None:
        self._actor.end_early.remote(token, grace_s)

    def forget(self, token: str) -> None:
        pass  # the actor itself sends that there are no more events

    def close(self) -> None:
        if self._actor is not None and self._ray.is_initialized():
            self._ray.kill(self._actor)
        self._actor = None


class RayAgent:
    """The actor: runs one order at a time; meanwhile its events are polled in other threads."""

    def __init__(self, packaged: PackagedObjective) -> None:
        self._packaged = packaged
        self._lock = threading.Lock()
        self._queues: dict[str, queue.SimpleQueue[dict[str, Any] | None]] = {}

    def run(self, token: str, order: str) -> str:
        """Run an order, and return its answer."""
        events = self._events_of(token)
        try:
            return AGENT.run(self._packaged, token, order, events.put)
        finally:
            events.put(None)

    def events(self, token: str) -> list[dict[str, Any]]:
        """Wait for events of an order; an empty list means that there will be no more."""
        events = self._events_of(token)
        found: list[dict[str, Any]] = []
        with suppress(queue.Empty):
            event = events.get()
            while event is not None:
                found.append(event)
                event = events.get_nowait()
            if found:
                events.put(None)  # the mark of the end, for the next poll
            else:
                self._queues.pop(token, None)
        return found

    def end_early(self, token: str, grace_s: float | None) -> None:
        """Ask an attempt to stop, or cancel it."""
        AGENT.end_early(token, grace_s)

    def _events_of(self, token: str) -> queue.SimpleQueue[dict[str, Any] | None]:
        with self._lock:
            return self._queues.setdefault(token, queue.SimpleQueue())


def _capacity(there: Mapping[str, float], each: Mapping[str, float]) -> int:
    """How many evaluations fit on a cluster as a whole."""
    return min(int(there.get(name, 0.0) // amount) for name, amount in each.items() if amount > 0)


def _options(resources: Mapping[str, float]) -> dict[str, Any]:
    known = {_PARAMETERS[name]: value for name, value in resources.items() if name in _PARAMETERS}
    custom = {name: value for name, value in resources.items() if name not in _PARAMETERS}
    return {**known, "resources": custom}


def import_ray() -> Any:
    """Return Ray's package, or raise an error that names how to install it."""
    try:
        import ray
    except ImportError as error:
        raise ConfigurationError(
            'executor="ray" needs the package ray, which is not installed',
            cause=str(error),
            do='pip install "hpdist[ray]"',
        ) from error
    return ray

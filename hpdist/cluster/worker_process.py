"""A worker in a process of its own, started by the process that made it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from multiprocessing.process import BaseProcess
from typing import Any, Protocol

import cloudpickle

from hpdist.cluster.transport.pyro import harden_process
from hpdist.core.journal.run_key import environment_key, set_environment_key


class ServingWorker(Protocol):
    """What is started here: a `hpdist.cluster.worker.Worker`."""

    worker_id: str

    def run(self) -> None:
        """Serve until the run is over, or the worker is shut down."""
        ...

    def leave(self, why: str, *, at_once: bool) -> None:
        """Leave after the running evaluation, or at once."""
        ...


def start_process(
    worker: ServingWorker, made_from: tuple[Any, ...], found: dict[str, Any]
) -> BaseProcess:
    """Make a worker like this one elsewhere, and have it serve.

    Parameters
    ----------
    made_from
        Arguments of its constructor: positional ones, and those by name.
    found
        Attributes that it got since.
    """
    data = cloudpickle.dumps((type(worker), *made_from, found, environment_key()))
    process = multiprocessing.get_context("spawn").Process(
        target=_serve, args=(data,), name=f"hpdist-{worker.worker_id}"
    )
    process.start()
    return process


def ask_to_leave(process: BaseProcess, *, at_once: bool) -> None:
    """Ask the worker in a process to leave after its running evaluation, or at once."""
    if process.pid is not None and process.is_alive():
        os.kill(process.pid, signal.SIGTERM if at_once else signal.SIGUSR1)


def _serve(data: bytes) -> None:
    """Run a worker in a process that its own parent started; ``data`` came from it alone."""
    harden_process()
    kind, args, kwargs, found, key = cloudpickle.loads(data)
    set_environment_key(key)
    worker: ServingWorker = kind(*args, **kwargs)
    vars(worker).update(found)

    def leave(number: int, frame: object) -> None:
        options = {"why": "shut down", "at_once": number == signal.SIGTERM}
        # In another thread: the signal may have interrupted one that holds a lock which is needed.
        threading.Thread(target=worker.leave, kwargs=options).start()

    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, leave)
    worker.run()

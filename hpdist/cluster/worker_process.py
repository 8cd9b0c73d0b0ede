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
    """The `hpdist.cluster.worker.Worker` that is started in the process."""

    worker_id: str

    def run(self) -> None:
        """Serve until the run is over, or the worker is shut down."""
        ...

    def leave(self, why: str, *, at_once: bool) -> None:
        """Leave after the running evaluation, or at once."""
        ...


def start_process(
    worker: ServingWorker, made_from: tuple[Any, ...], attributes: dict[str, Any]
) -> BaseProcess:
    """Make a copy of a worker in another process, and run it there.

    Parameters
    ----------
    made_from
        Arguments of its constructor: positional ones, and those by name.
    attributes
        Attributes that were set since then, by name.
    """
    data = cloudpickle.dumps((type(worker), *made_from, attributes, environment_key()))
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
    """Run a worker in this process; ``data`` comes from the parent process only."""
    harden_process()
    kind, args, kwargs, attributes, key = cloudpickle.loads(data)
    set_environment_key(key)
    worker: ServingWorker = kind(*args, **kwargs)
    vars(worker).update(attributes)

    def leave(number: int, frame: object) -> None:
        options = {"why": "shut down", "at_once": number == signal.SIGTERM}
        # In another thread: the interrupted one may hold a lock that `leave` needs.
        threading.Thread(target=worker.leave, kwargs=options).start()

    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, leave)
    worker.run()

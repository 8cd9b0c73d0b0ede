"""What happens in a process of loky; the parent's side is `hpdist.executors.loky`."""

from __future__ import annotations

import json
import os
import pickle
import threading
from multiprocessing.connection import Connection
from pathlib import Path

from hpdist.core.attempt.child_main import die_with
from hpdist.core.attempt.child_process import KEY_VARIABLES
from hpdist.core.attempt.evaluate import evaluate, failure_of
from hpdist.core.model.payload import Payload
from hpdist.core.model.record_codec import outcome_to_json
from hpdist.core.model.values import FailureKind
from hpdist.core.objective.context import Context, ReportValve
from hpdist.core.objective.objective import Call


class Process:
    """This process: its objective, and the pipe to its parent."""

    def __init__(self, parent: Connection, objective: bytes, name: str) -> None:
        self.name = name
        self._parent = parent
        self._objective = objective
        self._call: Call | None = None
        self._stopped = 0  #: number of the latest attempt that is asked to stop
        self._lock = threading.Lock()

    @property
    def call(self) -> Call:
        """The objective, built when first asked for."""
        if self._call is None:
            # from the parent's own memory, over a private pipe
            self._call = pickle.loads(self._objective).build()
        return self._call

    def report(self, number: int, step: int, loss: float) -> None:
        """Tell the parent an intermediate loss."""
        with self._lock:
            self._parent.send_bytes(json.dumps([number, step, loss]).encode())

    def stops(self, number: int) -> bool:
        """Whether the parent wants this attempt to end."""
        with self._lock:
            while self._parent.poll():
                self._stopped = max(self._stopped, json.loads(self._parent.recv_bytes()))
        return self._stopped >= number


_process: Process | None = None


def begin(parent: int, channel: Connection, objective: bytes, name: str) -> None:
    """Make this process ours: it dies with its parent, and Ctrl-C is for the parent alone."""
    global _process
    os.setsid()
    for name in KEY_VARIABLES:
        os.environ.pop(name, None)
    die_with(parent)
    _process = Process(channel, objective, name)


def build() -> str:
    """Build the objective; return this process' id, or a failure in JSON."""
    assert _process is not None, "loky calls the initializer first"
    try:
        _process.call  # noqa: B018 - built by asking for it
    except BaseException as error:  # noqa: BLE001 - the boundary around the user's imports
        return json.dumps(outcome_to_json(failure_of(FailureKind.EXCEPTION, error)))
    return json.dumps(os.getpid())


def run(
    number: int,
    payload: Payload,
    attempt: int,
    directory: Path,
    previous: Path | None,
    device: str,
) -> str:
    """Run one attempt; return its outcome as JSON, since not everything can be pickled."""
    process = _process
    assert process is not None, "loky calls the initializer first"
    reports = ReportValve(lambda step, loss: process.report(number, step, loss))
    context = Context(
        payload,
        attempt,
        directory,
        previous,
        device=device,
        report=reports,
        stop_requested=lambda: process.stops(number),
    )
    outcome = evaluate(process.call, process.name, payload, context)
    reports.close()
    return json.dumps(outcome_to_json(outcome), allow_nan=False)

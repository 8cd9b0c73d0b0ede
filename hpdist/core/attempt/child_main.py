"""The main module of the child process in which a worker runs its objective.

It is spawned, never forked, and stays warm between attempts. It reads JSON and one pickle (the
objective) from its parent, over a private pipe, and answers in JSON. It dies with its parent: the
kernel sees to that, and the end of the pipe. Processes of loky run the same `AttemptServer`.
"""

from __future__ import annotations

import ctypes
import faulthandler
import json
import os
import pickle
import queue
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from hpdist.core.attempt.objective_call import call_objective, failure_of
from hpdist.core.attempt.pipe_framing import read_frame, write_frame
from hpdist.core.model.payload import read_payload
from hpdist.core.model.record_codec import outcome_to_json
from hpdist.core.model.states import FailureKind
from hpdist.core.model.values import JsonValue
from hpdist.core.objective.context import Context, ReportValve
from hpdist.core.objective.objective import Call

_PR_SET_PDEATHSIG = 1
_IOLBF = 1


class ParentChannel:
    """The child's end of the pipes to its parent."""

    def __init__(self, source: int, sink: int) -> None:
        self._source = source
        self._sink = sink
        self._lock = threading.Lock()
        self.assigned: queue.SimpleQueue[dict[str, JsonValue]] = queue.SimpleQueue()
        self.stopped = 0  #: number of the latest attempt that is asked to stop
        for fd in (source, sink):
            os.set_inheritable(fd, False)
        os.register_at_fork(after_in_child=self._close_in_fork)

    def read(self) -> bytes:
        """Wait for a message; when the parent's end is closed, this process ends."""
        message = read_frame(self._source)
        if message is None:
            os.killpg(os.getpgrp(), signal.SIGKILL)
        return message or b""

    def listen(self) -> None:
        """Receive messages until the process ends, in a thread that the objective cannot block."""
        while True:
            message = json.loads(self.read())
            if "stop" in message:
                self.stopped = message["stop"]
            else:
                self.assigned.put(message)

    def send(self, message: dict[str, JsonValue]) -> None:
        """Send from any thread; a process that the objective forked stays silent."""
        body = json.dumps(message, allow_nan=False).encode()
        with self._lock:
            if self._sink >= 0:
                write_frame(self._sink, body)

    def _close_in_fork(self) -> None:
        """In a forked process: close the pipes, or they would outlive this one."""
        self._lock = threading.Lock()
        for fd in (self._source, self._sink):
            with suppress(OSError):
                os.close(fd)
        self._source = self._sink = -1


class AttemptServer:
    """Loads the objective, then runs the assigned attempts in turn."""

    def __init__(self, parent: ParentChannel) -> None:
        self._parent = parent
        self._call: Call | None = None
        self._header: dict[str, Any] = {}

    def load(self) -> bool:
        """Receive and build the objective; return whether that succeeded, which the parent learns.

        From now on, messages are received in a thread.
        """
        self._header = json.loads(self._parent.read())
        pickled = self._parent.read()
        sys.path[:] = self._header["sys_path"]
        sys.argv[:] = self._header["argv"]
        threading.Thread(target=self._parent.listen, name="hpdist-parent", daemon=True).start()
        failure = None
        try:
            # from the parent's own memory, over a private pipe
            self._call = pickle.loads(pickled).build()
        except BaseException as error:  # noqa: BLE001 - the boundary around the user's imports
            failure = outcome_to_json(failure_of(FailureKind.EXCEPTION, error))
        self._parent.send({"done": [0, failure]})
        return failure is None

    def run_next(self) -> None:
        """Wait for an attempt, run it, and send its outcome."""
        with suppress(FileNotFoundError):
            os.chdir(self._header["cwd"])  # an objective may have changed the directory
        order = self._parent.assigned.get()
        number, previous = order["number"], order["previous_directory"]
        payload = read_payload(order["payload"])
        reports = ReportValve(
            lambda step, loss: self._parent.send({"report": [number, step, loss]})
        )
        context = Context(
            payload,
            order["attempt"],
            Path(order["directory"]),
            None if previous is None else Path(previous),
            device=self._header["device"],
            report=reports,
            stop_requested=lambda: self._parent.stopped >= number,
        )
        assert self._call is not None, "the objective is loaded first"
        outcome = call_objective(self._call, self._header["name"], payload, context)
        reports.close()
        self._parent.send({"done": [number, outcome_to_json(outcome)]})


def main() -> None:
    """Serve the parent whose pipes and process id are the arguments."""
    source, sink, parent = (int(argument) for argument in sys.argv[1:4])
    die_with(parent)
    faulthandler.enable(all_threads=False)
    server = AttemptServer(ParentChannel(source, sink))
    if not server.load():
        raise SystemExit(1)
    while True:
        server.run_next()


def die_with(parent: int) -> None:
    """Have the kernel end this process with the parent's thread that spawned it (Linux)."""
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it was gone before this could work
        raise SystemExit(1)
    # what C code prints would otherwise be seen an attempt later, or never after a crash
    libc.setvbuf(ctypes.c_void_p.in_dll(libc, "stdout"), None, _IOLBF, 0)


if __name__ == "__main__":
    main()

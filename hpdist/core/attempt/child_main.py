"""The main module of the child process in which a worker runs its objective.

It is spawned, never forked, and stays warm between attempts. It reads JSON and one pickle (the
objective) from its parent, over a pipe that nobody else has, and answers in JSON. It dies with
its parent: the kernel sees to that, and the end of the pipe.
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

from hpdist.core.attempt.evaluate import evaluate, failure_of
from hpdist.core.attempt.framing import read_frame, write_frame
from hpdist.core.model.payload import read_payload
from hpdist.core.model.record_codec import outcome_to_json
from hpdist.core.model.values import FailureKind, JsonValue
from hpdist.core.objective.context import Context, ReportValve
from hpdist.core.objective.objective import Call

_PR_SET_PDEATHSIG = 1
_IOLBF = 1


class ParentLink:
    """The child's end of the pipes to its parent."""

    def __init__(self, source: int, sink: int) -> None:
        self._source, self._sink = source, sink
        self._lock = threading.Lock()
        self.attempts: queue.SimpleQueue[dict[str, JsonValue]] = queue.SimpleQueue()
        self.stopped = 0  #: number of the latest attempt that is asked to stop
        for fd in (source, sink):
            os.set_inheritable(fd, False)
        os.register_at_fork(after_in_child=self._forget)

    def read(self) -> bytes:
        """Wait for a message; the parent's end is this process's end."""
        message = read_frame(self._source)
        if message is None:
            os.killpg(os.getpgrp(), signal.SIGKILL)
        return message or b""

    def listen(self) -> None:
        """Take orders for ever, in a thread of its own, whatever the objective does meanwhile."""
        while True:
            order = json.loads(self.read())
            if "stop" in order:
                self.stopped = order["stop"]
            else:
                self.attempts.put(order)

    def send(self, message: dict[str, JsonValue]) -> None:
        """Send from any thread; a process that the objective forked stays silent."""
        body = json.dumps(message, allow_nan=False).encode()
        with self._lock:
            if self._sink >= 0:
                write_frame(self._sink, body)

    def _forget(self) -> None:
        """In a forked process: let go of the pipes, or they would outlive this one."""
        self._lock = threading.Lock()
        for fd in (self._source, self._sink):
            with suppress(OSError):
                os.close(fd)
        self._source = self._sink = -1


def main() -> None:
    """Serve the parent whose pipes and process id are the arguments."""
    source, sink, parent = (int(argument) for argument in sys.argv[1:4])
    die_with(parent)
    faulthandler.enable(all_threads=False)
    link = ParentLink(source, sink)
    header, pickled = json.loads(link.read()), link.read()
    sys.path[:], sys.argv[:] = header["sys_path"], header["argv"]
    threading.Thread(target=link.listen, name="hpdist-parent", daemon=True).start()
    try:
        # from the parent's own memory, over a private pipe
        call = pickle.loads(pickled).build()
    except BaseException as error:  # the boundary around the user's imports
        failure = failure_of(FailureKind.EXCEPTION, error)
        link.send({"done": [0, outcome_to_json(failure)]})
        raise SystemExit(1) from error
    link.send({"done": [0, None]})
    while True:
        with suppress(FileNotFoundError):
            os.chdir(header["cwd"])  # an objective may have gone elsewhere
        _attempt(link, call, header, link.attempts.get())


def _attempt(link: ParentLink, call: Call, header: dict[str, Any], order: dict[str, Any]) -> None:
    number, previous = order["number"], order["previous_directory"]
    reports = ReportValve(lambda step, loss: link.send({"report": [number, step, loss]}))
    payload = read_payload(order["payload"])
    context = Context(
        payload,
        order["attempt"],
        Path(order["directory"]),
        None if previous is None else Path(previous),
        device=header["device"],
        report=reports,
        stop_requested=lambda: link.stopped >= number,
    )
    outcome = evaluate(call, header["name"], payload, context)
    reports.close()
    link.send({"done": [number, outcome_to_json(outcome)]})


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

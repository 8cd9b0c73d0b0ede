"""The code that runs in a process of loky; its parent uses `hpdist.executors.loky_process`."""

from __future__ import annotations

import os
from multiprocessing.connection import Connection

from hpdist.core.attempt.child_main import AttemptServer, ParentChannel, die_with
from hpdist.core.attempt.child_process import KEY_VARIABLES

_server: AttemptServer | None = None


def connect(parent: int, source: Connection, sink: Connection) -> None:
    """Bind this process to its parent: it dies with it, and Ctrl-C is for the parent alone."""
    global _server
    os.setsid()
    for name in KEY_VARIABLES:
        os.environ.pop(name, None)
    die_with(parent)
    _server = AttemptServer(ParentChannel(os.dup(source.fileno()), os.dup(sink.fileno())))
    source.close()
    sink.close()


def load() -> int:
    """Load the objective; return this process's id."""
    assert _server is not None, "loky calls the initializer first"
    _server.load()
    return os.getpid()


def run_next() -> None:
    """Run the next attempt that the parent has sent."""
    assert _server is not None, "loky calls the initializer first"
    _server.run_next()

"""Run-end events, by which `Master.run` waits for the loop in its own thread."""

from __future__ import annotations

import queue
from contextlib import suppress

from hpdist.core.model.errors import StateError
from hpdist.core.model.events import RunEnded
from hpdist.core.model.states import EndReason

#: Seconds of one wait: a signal that another thread caught does not end it.
SLICE_S = 1.0


class RunEndEvents:
    """A queue of run ends, filled by the dispatcher's thread."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[RunEnded | BaseException] = queue.SimpleQueue()
        self._closed = False

    def put(self, ended: RunEnded | BaseException) -> None:
        """Add an end; after any but "finished" no further one can be waited for."""
        self._closed = not (isinstance(ended, RunEnded) and ended.reason == EndReason.FINISHED)
        self._queue.put(ended)

    def clear(self) -> None:
        """Remove the ends of former calls.

        Raises
        ------
        StateError
            If the dispatcher serves no further call; or the error it failed with.
        """
        while not self._queue.empty():
            ended = self._queue.get()
            if isinstance(ended, BaseException):
                raise ended
        if self._closed:
            raise StateError("this master has ended; make another to go on with the run")

    def wait(self) -> None:
        """Wait for the next end; raises the error that the dispatcher failed with."""
        while True:
            with suppress(queue.Empty):
                ended = self._queue.get(timeout=SLICE_S)
                if isinstance(ended, BaseException):
                    raise ended
                return

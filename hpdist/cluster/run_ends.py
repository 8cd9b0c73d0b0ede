"""How calls of `Master.run` learn that the loop, in its own thread, has come to an end."""

from __future__ import annotations

import queue
from contextlib import suppress

from hpdist.core.model.errors import StateError
from hpdist.core.model.events import RunEnded
from hpdist.core.model.states import EndReason

#: Seconds after which a wait is begun anew: a signal that another thread caught does not end it.
SLICE_S = 1.0


class Ends:
    """Ends of a run, put in by the dispatcher's thread."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[RunEnded | BaseException] = queue.SimpleQueue()
        self._closed = False

    def put(self, ended: RunEnded | BaseException) -> None:
        """Note an end; after any but "finished" there is nothing to wait for any more."""
        self._closed = not (isinstance(ended, RunEnded) and ended.reason == EndReason.FINISHED)
        self._queue.put(ended)

    def forget(self) -> None:
        """Drop ends that answer former commands.

        Raises
        ------
        StateError
            If the dispatcher serves no further call; or what it failed with.
        """
        while not self._queue.empty():
            ended = self._queue.get()
            if isinstance(ended, BaseException):
                raise ended
        if self._closed:
            raise StateError("this master has ended; make another to go on with the run")

    def wait(self) -> None:
        """Wait for the next end; raises what the dispatcher failed with."""
        while True:
            with suppress(queue.Empty):
                ended = self._queue.get(timeout=SLICE_S)
                if isinstance(ended, BaseException):
                    raise ended
                return

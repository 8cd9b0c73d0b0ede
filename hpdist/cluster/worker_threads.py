"""The workers of one process, and the signals that end them."""

from __future__ import annotations

import logging
import math
import os
import queue
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from hpdist.cluster.discovery import RunAddress
from hpdist.cluster.worker import Worker

logger = logging.getLogger(__name__)

#: Seconds that evaluations have to end after a signal to leave at once.
AT_ONCE_S = 8.0

CHECK_EVERY_S = 0.5

_SIGINT_TWICE = 130

Message = str | tuple[Worker, BaseException | None]
"""A signal's name, or the worker that ended and its error."""


class WorkerSlots:
    """Runs workers, each in a thread, until all have left.

    SIGTERM releases running evaluations and leaves at once; SIGINT waits for them, a second
    one does not. To be used in the main thread.

    Parameters
    ----------
    run_address
        Address of the run.
    """

    def __init__(self, workers: Sequence[Worker], run_address: RunAddress) -> None:
        for worker in workers:
            worker._run_address = run_address
            if worker.directory is None:
                worker.directory = run_address.directory
        self._running = set(workers)
        # Signal handlers put messages in it, so its `put` has to be reentrant.
        self._messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._interrupted = False
        self._deadline = math.inf  #: when evaluations that do not end are abandoned
        self._error: BaseException | None = None
        self._code = 0

    def run(self) -> int:
        """Run the workers until they are shut down, and return the exit code.

        Raises
        ------
        BaseException
            The error of the first worker that failed, once the others have left.
        """
        with self._listening():
            for worker in self._running:
                name = f"hpdist-{worker.worker_id}"
                threading.Thread(target=self._serve, args=(worker,), name=name).start()
            self._wait()
        if self._error is not None:
            raise self._error
        return self._code

    def leave(self) -> None:
        """Leave at once; from any thread or signal handler."""
        self._messages.put("SIGTERM")

    def _serve(self, worker: Worker) -> None:
        error: BaseException | None = None
        try:
            worker.run()
        except BaseException as failure:  # noqa: BLE001  (`run` raises it in the main thread)
            error = failure
        self._messages.put((worker, error))

    def _wait(self) -> None:
        while self._running:
            try:
                # With a timeout: a signal that another thread gets does not end this wait.
                message = self._messages.get(timeout=CHECK_EVERY_S)
            except queue.Empty:
                if time.monotonic() > self._deadline:
                    self._break_off()
                continue
            if isinstance(message, str):
                self._signalled(message)
            else:
                self._ended(*message)

    def _signalled(self, name: str) -> None:
        if name == "SIGINT" and not self._interrupted:
            self._interrupted = True
            logger.warning(
                "finishing running evaluations, then leaving; Ctrl-C again leaves at once"
            )
            self._leave(name, at_once=False)
            return
        self._code = _SIGINT_TWICE if name == "SIGINT" else 0
        self._deadline = min(self._deadline, time.monotonic() + AT_ONCE_S)
        self._leave(name, at_once=True)

    def _ended(self, worker: Worker, error: BaseException | None) -> None:
        self._running.discard(worker)
        if error is not None and self._error is None:
            self._error = error
            self._leave("another worker of this process failed", at_once=False)

    def _leave(self, why: str, *, at_once: bool) -> None:
        for worker in self._running:
            worker.leave(why, at_once=at_once)

    def _break_off(self) -> None:
        """End the process although evaluations run: threads cannot be ended by force."""
        for worker in self._running:
            session = worker._session
            if session is not None:
                session.deregister()
        logging.shutdown()
        os._exit(self._code)

    @contextmanager
    def _listening(self) -> Iterator[None]:
        def note(number: int, frame: FrameType | None) -> None:
            self._messages.put(signal.Signals(number).name)

        numbers = [signal.SIGTERM]
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as nohup and scripts ask for
            numbers.append(signal.SIGINT)
        former = {number: signal.signal(number, note) for number in numbers}
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)

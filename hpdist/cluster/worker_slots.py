"""The workers of one process, and the signals that end them."""

from __future__ import annotations

import logging
import os
import queue
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from hpdist.cluster.locate import Place
from hpdist.cluster.worker import Worker

logger = logging.getLogger(__name__)

#: Seconds that evaluations have to end once the process was told to go at once.
AT_ONCE_S = 8.0

_SIGINT_TWICE = 130

News = tuple[str, Worker | None, BaseException | None]


class WorkerSlots:
    """Runs workers, each in a thread, until all have left.

    SIGTERM hands what runs back and leaves at once; SIGINT waits for what runs, and the second
    one does not. To be used in the main thread.

    Parameters
    ----------
    place
        Where the run is.
    """

    def __init__(self, workers: Sequence[Worker], place: Place) -> None:
        self._workers = list(workers)
        for worker in self._workers:
            worker._place = place
            if worker.directory is None:
                worker.directory = place.directory
        # Filled by signal handlers, so of a kind that may be entered again while it is filled.
        self._news: queue.SimpleQueue[News] = queue.SimpleQueue()
        self._code = 0

    def run(self) -> int:
        """Work until dismissed, and return the exit code.

        Raises
        ------
        BaseException
            What the first of them failed with, once the others have left.
        """
        with self._listening():
            for worker in self._workers:
                threading.Thread(
                    target=self._serve, args=(worker,), name=f"hpdist-{worker.worker_id}"
                ).start()
            error = self._wait()
        if error is not None:
            raise error
        return self._code

    def leave(self) -> None:
        """Leave at once; from any thread or signal handler."""
        self._news.put(("SIGTERM", None, None))

    def _serve(self, worker: Worker) -> None:
        try:
            worker.run()
        except BaseException as error:  # noqa: BLE001  (`run` raises it in the main thread)
            self._news.put(("ended", worker, error))
        else:
            self._news.put(("ended", worker, None))

    def _wait(self) -> BaseException | None:
        here, interrupts = set(self._workers), 0
        deadline, first = float("inf"), None
        while here:
            wait_s = None if deadline == float("inf") else max(0.0, deadline - time.monotonic())
            try:
                kind, worker, error = self._news.get(timeout=wait_s)
            except queue.Empty:
                self._break_off(here)
            if kind == "ended" and worker is not None:
                here.discard(worker)
                first = first or error
            elif kind == "SIGINT" and not interrupts:
                interrupts += 1
                logger.warning("finishing what runs, then leaving; Ctrl-C again leaves at once")
                self._tell(here, kind, at_once=False)
            else:
                self._code = _SIGINT_TWICE if kind == "SIGINT" else 0
                deadline = min(deadline, time.monotonic() + AT_ONCE_S)
                self._tell(here, kind, at_once=True)
            if first is not None:
                self._tell(here, "another worker of this process failed", at_once=False)
        return first

    @staticmethod
    def _tell(workers: set[Worker], why: str, *, at_once: bool) -> None:
        for worker in workers:
            worker.leave(why, at_once=at_once)

    def _break_off(self, workers: set[Worker]) -> None:
        """Leave although evaluations go on: threads cannot be ended by force."""
        for worker in workers:
            session = worker._session
            if session is not None:
                session.say_good_bye()
        logging.shutdown()
        os._exit(self._code)

    @contextmanager
    def _listening(self) -> Iterator[None]:
        def note(number: int, frame: FrameType | None) -> None:
            self._news.put((signal.Signals(number).name, None, None))

        numbers = [signal.SIGTERM]
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as nohup and scripts ask for
            numbers.append(signal.SIGINT)
        former = {number: signal.signal(number, note) for number in numbers}
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)

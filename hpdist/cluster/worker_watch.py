"""Waiting for workers: warn while there are too few of them, and give up in the end."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from hpdist.cluster.diagnosis import why_no_workers
from hpdist.cluster.discovery import RunAddress

#: Seconds between two looks at the number of workers.
CHECK_EVERY_S = 1.0

#: Seconds between two warnings that there are too few workers.
NO_WORKERS_EVERY_S = 30.0


class WorkerWatch:
    """Measures for how long a run has had too few workers.

    Parameters
    ----------
    count
        Returns the number of workers that are registered now.
    timeout_s
        Seconds without enough workers after which `check` raises.
    logger
        Gets a diagnosis every `NO_WORKERS_EVERY_S` seconds.
    """

    def __init__(
        self,
        run_address: RunAddress,
        count: Callable[[], int],
        timeout_s: float,
        logger: logging.Logger,
    ) -> None:
        self._run_address = run_address
        self._count = count
        self._timeout_s = timeout_s
        self._logger = logger
        self._start()

    def _start(self) -> None:
        self._since = self._warned_at = time.monotonic()

    def check(self, wanted: int) -> bool:
        """Return whether ``wanted`` workers are registered; to be called again and again.

        Raises
        ------
        NoWorkers
            If there were fewer for ``timeout_s`` seconds, with a diagnosis.
        """
        found = self._count()
        if found >= wanted:
            self._start()
            return True
        now = time.monotonic()
        waited_s = now - self._since
        if waited_s > self._timeout_s:
            raise why_no_workers(self._run_address, found, wanted, waited_s)
        if now - self._warned_at >= NO_WORKERS_EVERY_S:
            self._warned_at = now
            self._logger.warning("%s", why_no_workers(self._run_address, found, wanted, waited_s))
        return False

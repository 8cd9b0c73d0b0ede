"""What befalls a run, and when: decided by a seed, carried out by the driver's one thread."""

from __future__ import annotations

import heapq
import itertools
import random
import signal
import time
from collections.abc import Callable

from soak_options import SPARED, Options
from soak_processes import Masters, Workers

#: A stop is at least so long.
SHORTEST_STOP_S = 1.0

LOOK_AGAIN_S = 0.1


class Weather:
    """A calendar of faults."""

    def __init__(self, options: Options, workers: Workers, masters: Masters) -> None:
        self._options, self._workers, self._masters = options, workers, masters
        self._rng = random.Random(options.seed)
        self._calendar: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def begin(self) -> None:
        options = self._options
        self._repeat(options.kill_every, self._kill)
        self._repeat(options.stop_every, self._stop)
        self._at(0.0, self._let_live)

    def blow(self) -> None:
        """Carry out what is due."""
        while self._calendar and self._calendar[0][0] <= time.monotonic():
            heapq.heappop(self._calendar)[2]()

    def _at(self, when: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._calendar, (when, next(self._numbers), action))

    def _repeat(self, every_s: float, action: Callable[[], None]) -> None:
        """Act every so many seconds; of what is late for more than a round nothing is made up."""

        def act() -> None:
            action()
            self._repeat(every_s, action)

        self._at(time.monotonic() + every_s, act)

    def _kill(self) -> None:
        pid = self._workers.choose(self._rng, SPARED)
        if pid is not None:
            self._workers.signal(pid, signal.SIGKILL)
            self._workers.fork()

    def _stop(self) -> None:
        pid = self._workers.choose(self._rng, 0)
        if pid is None:
            return
        self._workers.signal(pid, signal.SIGSTOP)
        seconds = self._rng.uniform(SHORTEST_STOP_S, self._options.stop_longest_s)
        self._at(time.monotonic() + seconds, lambda: self._workers.signal(pid, signal.SIGCONT))

    def _let_live(self) -> None:
        """Give the master its time from when it is up: what it waits for takes a lease."""
        if self._masters.is_up:
            self._at(time.monotonic() + self._options.master_every, self._kill_master)
        else:
            self._at(time.monotonic() + LOOK_AGAIN_S, self._let_live)

    def _kill_master(self) -> None:
        if self._masters.code is None:
            self._masters.replace()
            self._let_live()

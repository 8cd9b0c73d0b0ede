"""Runs attempts in processes of loky, a pool of one for each worker."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

from hpdist.core.attempt.child_messages import ForgedMessageError, check_outcome, forged
from hpdist.core.attempt.child_runner import device_in_child, pickled
from hpdist.core.attempt.directories import AttemptDirectories
from hpdist.core.attempt.evaluate import GRACE_S, Runner, StopSwitch, timed_out
from hpdist.core.attempt.memory import MemoryWatch
from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.events import Assignment, AttemptResult
from hpdist.core.model.payload import Payload
from hpdist.core.model.values import Failure, FailureKind, Outcome
from hpdist.core.objective.context import Report
from hpdist.core.objective.objective import Objective
from hpdist.executors import loky_process
from hpdist.executors.local import LocalExecutor
from hpdist.executors.loky_pool import LokyPool, import_loky


class LokyExecutor(LocalExecutor):
    """As `LocalExecutor`, with the processes of the loky package (``pip install "hpdist[loky]"``).

    Takes functions by value, too. What objectives print goes to the terminal, not into results.

    Raises
    ------
    ConfigurationError
        If loky is not installed, or as `LocalExecutor` does.
    """

    def _with_process(self, objective: Objective, limits: dict[str, Any], device: str) -> Runner:
        return LokyRunner(objective, **limits, device=device)


class LokyRunner:
    """Runs attempts in a pool of one process, which is replaced when its process dies.

    One process a pool, since loky gives up everything that a pool runs when one of its processes
    dies: so a death costs one attempt.
    """

    def __init__(
        self,
        objective: Objective,
        *,
        job_timeout: float | None = None,
        memory_limit: int | None = None,
        device: str = "",
    ) -> None:
        import_loky()
        self._name = objective.name
        self._pickled = pickled(objective)
        self._timeout = math.inf if job_timeout is None else job_timeout
        self._memory_limit = memory_limit
        self._environment, self._device = device_in_child(device)
        self._directories = AttemptDirectories()
        self._pool: LokyPool | None = None
        self._number = 0

    def start(self, switch: StopSwitch | None = None) -> None:
        failure = self._ready(switch or StopSwitch())
        if failure is not None:
            raise ConfigurationError(
                f"the objective {self._name} cannot be started in its process: {failure.message}",
                cause=failure.traceback.strip(),
            )

    def run(
        self,
        payload: Payload,
        held: Assignment,
        *,
        directory_root: Path | None = None,
        on_report: Report | None = None,
        switch: StopSwitch | None = None,
    ) -> AttemptResult | None:
        switch = switch or StopSwitch()
        started, begin = time.time(), time.monotonic()
        outcome: Outcome | None = self._ready(switch)
        if outcome is None and not switch.cancelled and self._pool is not None:
            own, previous = self._directories.of(directory_root, payload, held[1])
            self._number += 1
            started, begin = time.time(), time.monotonic()
            order = (self._number, payload, held[1], own, previous, self._device)
            self._pool.submit(loky_process.run, *order)
            outcome = self._outcome(switch, on_report)
        if outcome is None:
            return None
        return AttemptResult(*held, outcome, time.monotonic() - begin, started)

    def close(self) -> None:
        self._drop()
        self._directories.close()

    def _ready(self, switch: StopSwitch) -> Failure | None:
        """Have a pool whose objective is built, unless this fails or is cancelled."""
        if self._pool is not None and self._pool.dead:
            self._drop()
        if self._pool is not None:
            return None
        self._pool = LokyPool(self._pickled, self._name, self._environment)
        self._pool.submit(loky_process.build)
        self._pool.wait_for(switch, math.inf)
        failure = None if switch.cancelled else self._pool.end_of(0)
        if failure is None and not switch.cancelled:
            failure = self._pool.built(self._name)
        if failure is not None or switch.cancelled:
            self._drop()
        return None if switch.cancelled else failure

    def _outcome(self, switch: StopSwitch, on_report: Report | None) -> Outcome | None:
        """Wait for the attempt's outcome; None if it was cancelled."""
        pool = self._pool
        assert pool is not None
        try:
            failure = self._awaited(pool, switch, on_report)
            if failure is None and not switch.cancelled:
                return check_outcome(pool.answer(), self._name)
        except ForgedMessageError:
            # whatever the process is at, it cannot be relied on any more
            failure = forged(self._name)
        patient = failure is None or failure.kind is FailureKind.TIMEOUT
        force_at = time.monotonic() + (GRACE_S if patient else 0.0)
        pool.end(lambda: min(force_at, switch.deadline))
        self._drop()
        return failure

    def _awaited(
        self, pool: LokyPool, switch: StopSwitch, on_report: Report | None
    ) -> Failure | None:
        """Wait for the end, whichever it is; return a failure if the attempt did not answer."""
        watch = MemoryWatch(pool.pid, self._memory_limit)
        deadline = time.monotonic() + self._timeout
        while not (pool.done or pool.dead or switch.cancelled):
            if time.monotonic() >= deadline:
                return timed_out(self._timeout)
            failure = watch.failure()
            if failure is not None:
                return failure
            pool.wait_for(switch, min(deadline, watch.next), self._number, on_report)
        return None if switch.cancelled else pool.end_of(self._number, on_report)

    def _drop(self) -> None:
        if self._pool is not None:
            self._pool.close()
            self._pool = None

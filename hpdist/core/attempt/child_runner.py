"""Runs attempts in a child process that is kept warm, and replaced when it dies."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from hpdist.core.attempt.attempt_directories import AttemptDirectories
from hpdist.core.attempt.child_attempt import ChildAttempt
from hpdist.core.attempt.child_process import ChildProcess
from hpdist.core.attempt.pickled_objective import pickled
from hpdist.core.attempt.spawned_process import SpawnedProcess
from hpdist.core.attempt.stop_switch import StopSwitch
from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.events import Assignment, AttemptResult
from hpdist.core.model.payload import Payload
from hpdist.core.model.values import Failure, JsonValue, Outcome
from hpdist.core.objective.context import Report
from hpdist.core.objective.limits import check_attempt_limits
from hpdist.core.objective.objective import Objective


class ChildRunner:
    """Runs attempts in a child process of its own (``isolation="process"``).

    The thread that calls `start` or `run` has to live as long as the runner: the kernel ends
    the child with it.

    Parameters
    ----------
    job_timeout
        Seconds an attempt may take, not counting the start of a child.
    memory_limit
        Bytes that the child and its descendants may have resident.
    environment
        Variables to set in the child.
    device
        The device of this runner's attempts. Numbers of CUDA devices ("0", "2,3", "cuda:1") are
        made the only ones visible in the child, so that ``ctx.device`` is "cuda" there; any
        other name is passed on as it is.

    Raises
    ------
    ConfigurationError
        If the objective cannot be sent to another process, or a limit is not positive.
    """

    def __init__(
        self,
        objective: Objective,
        *,
        job_timeout: float | None = None,
        memory_limit: int | None = None,
        environment: Mapping[str, str] | None = None,
        device: str = "",
    ) -> None:
        limits = check_attempt_limits(job_timeout, memory_limit)
        self._name = objective.name
        self._pickled = pickled(objective)
        self._job_timeout: float | None = limits["job_timeout"]
        self._memory_limit: int | None = limits["memory_limit"]
        visible, self._device = device_in_child(device)
        self._environment = {**visible, **(environment or {})}
        self._directories = AttemptDirectories()
        self._child: ChildProcess | None = None
        self._number = 0

    @property
    def pid(self) -> int | None:
        """The child's process id; None while there is none."""
        return None if self._child is None else self._child.pid

    def start(self, switch: StopSwitch | None = None) -> None:
        failure = self._ready(switch or StopSwitch())
        if failure is not None:
            raise ConfigurationError(
                f"the objective {self._name} cannot be started in its process: {failure.message}",
                cause=(failure.traceback or self._output_of_start()).strip(),
            )

    def run(
        self,
        payload: Payload,
        assignment: Assignment,
        *,
        directory_root: Path | None = None,
        on_report: Report | None = None,
        switch: StopSwitch | None = None,
    ) -> AttemptResult | None:
        switch = switch or StopSwitch()
        started = time.time()
        clock = time.monotonic()
        outcome: Outcome | None = self._ready(switch)
        if outcome is None and not switch.cancelled and self._child is not None:
            order = self._order(payload, assignment, directory_root)
            # the start of a child does not count
            started = time.time()
            clock = time.monotonic()
            self._child.assign(json.dumps(order).encode())
            outcome = ChildAttempt(
                self._child,
                self._name,
                self._number,
                switch,
                on_report=on_report,
                timeout=self._job_timeout,
                memory_limit=self._memory_limit,
            ).run()
        if outcome is None or self._child is None:
            return None
        seconds = time.monotonic() - clock
        return AttemptResult(*assignment, outcome, seconds, started, self._child.take_output())

    def close(self) -> None:
        self._drop()
        self._directories.close()

    def _ready(self, switch: StopSwitch) -> Failure | None:
        """Start a child and build its objective if necessary, unless that is cancelled."""
        if self._child is not None and not self._child.gone:
            self._child.take_output()  # printed by threads that the last attempt left behind
            return None
        self._drop()
        self._child = self._make_child(self._environment)
        self._child.assign(json.dumps(self._header()).encode(), self._pickled)
        outcome = ChildAttempt(self._child, self._name, 0, switch).run()
        if not isinstance(outcome, Failure):
            return None
        self._child.kill()
        return outcome

    def _header(self) -> dict[str, JsonValue]:
        """Return the data of this process that the child needs to build the objective."""
        return {
            "sys_path": [path or os.getcwd() for path in sys.path],
            "argv": sys.argv,
            "cwd": os.getcwd(),
            "name": self._name,
            "device": self._device,
        }

    def _make_child(self, environment: Mapping[str, str]) -> ChildProcess:
        return SpawnedProcess(environment)

    def _order(
        self, payload: Payload, assignment: Assignment, directory_root: Path | None
    ) -> dict[str, JsonValue]:
        self._number += 1
        own, previous = self._directories.of(directory_root, payload, assignment[1])
        return {
            "number": self._number,
            "payload": payload.to_json(),
            "attempt": assignment[1],
            "directory": str(own),
            "previous_directory": None if previous is None else str(previous),
        }

    def _output_of_start(self) -> str:
        return "" if self._child is None else self._child.take_output()

    def _drop(self) -> None:
        if self._child is not None:
            self._child.close()
            self._child = None


def device_in_child(device: str) -> tuple[dict[str, str], str]:
    """Return the variables that show a child only ``device``, and its name there."""
    numbers = device.removeprefix("cuda:").split(",")
    if not all(number.isdigit() for number in numbers):
        return {}, device
    # Where a batch system has shared the devices out, numbers count among those it allows.
    allowed = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    if any(int(number) >= len(allowed) for number in numbers) and allowed:
        raise ConfigurationError(
            f"there is no device {device!r}",
            cause=f"CUDA_VISIBLE_DEVICES allows {len(allowed)}, counted from 0",
        )
    chosen = [allowed[int(number)] if allowed else number for number in numbers]
    return {"CUDA_VISIBLE_DEVICES": ",".join(chosen)}, "cuda"

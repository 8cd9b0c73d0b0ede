"""Runs attempts in the calling thread."""

from __future__ import annotations

import time
from pathlib import Path

from hpdist.core.attempt.attempt_directories import AttemptDirectories
from hpdist.core.attempt.objective_call import call_objective
from hpdist.core.attempt.stop_switch import StopSwitch
from hpdist.core.model.events import Assignment, AttemptResult
from hpdist.core.model.payload import Payload
from hpdist.core.objective.context import Context, Report, ReportValve
from hpdist.core.objective.objective import Call, Objective


class InlineRunner:
    """Runs attempts in the calling thread (``isolation="none"``).

    Nothing protects the process from the objective, and nothing can end it by force: a cancelled
    attempt is released when the objective returns.
    """

    def __init__(self, objective: Objective, *, device: str = "") -> None:
        self._objective = objective
        self._device = device
        self._call: Call | None = None
        self._directories = AttemptDirectories()

    def start(self, switch: StopSwitch | None = None) -> None:
        self._built_call()

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
        call = self._built_call()
        attempt = assignment[1]
        reports = ReportValve(on_report) if on_report else None
        context = Context(
            payload,
            attempt,
            *self._directories.of(directory_root, payload, attempt),
            device=self._device,
            report=reports,
            stop_requested=lambda: switch.stop_requested,
        )
        started = time.time()
        clock = time.monotonic()
        outcome = call_objective(call, self._objective.name, payload, context)
        if reports:
            reports.close()
        if switch.cancelled:
            return None
        return AttemptResult(*assignment, outcome, time.monotonic() - clock, started)

    def close(self) -> None:
        self._directories.close()

    def _built_call(self) -> Call:
        if self._call is None:
            self._call = self._objective.build()
        return self._call

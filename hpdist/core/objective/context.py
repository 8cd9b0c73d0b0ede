"""The argument ``ctx`` of an objective: what it can read and report while it runs."""

from __future__ import annotations

import math
import operator
import time
from collections.abc import Callable
from pathlib import Path

from hpdist.core.model.payload import Payload
from hpdist.core.model.values import ConfigId
from hpdist.core.objective.returned_value import to_number

MAX_STEP = 2**53 - 1
"""The largest step of a report: what any JSON reader takes for a whole number."""

Report = Callable[[int, float], None]
"""Takes the step and the loss of an intermediate report."""


class Context:
    """One attempt, as its objective sees it.

    Attributes
    ----------
    previous_directory, previous_dir
        The directory of this configuration's last success at a lower budget: read a model to
        continue from here. None when there is none, or when it is not on this host.
    device
        The device that belongs to this attempt alone, such as "cuda"; empty if none is set.
    seed
        Differs between trials, the same each time a trial is repeated.
    """

    def __init__(
        self,
        payload: Payload,
        attempt: int,
        directory: Path,
        previous_directory: Path | None = None,
        *,
        device: str = "",
        report: Report | None = None,
        stop_requested: Callable[[], bool] = lambda: False,
    ) -> None:
        self.trial_id: int = payload.trial_id
        self.config_id: ConfigId = payload.config_id
        self.budget: float = payload.budget
        self.seed: int = payload.seed
        self.attempt = attempt
        self.device = device
        self.previous_directory = self.previous_dir = previous_directory
        self._directory = directory
        self._report = report
        self._stop_requested = stop_requested

    @property
    def directory(self) -> Path:
        """This attempt's own directory, made when first asked for."""
        self._directory.mkdir(parents=True, exist_ok=True)
        return self._directory

    @property
    def dir(self) -> Path:
        """Short for `directory`."""
        return self.directory

    def should_stop(self) -> bool:
        """Return whether to return soon: the attempt was asked to stop early, or was cancelled."""
        return self._stop_requested()

    def report(self, step: int, loss: float) -> str | None:
        """Report an intermediate loss; return "stop" when `should_stop`, else None.

        A loss that is not finite is not passed on. Of very frequent reports some are left out.

        Raises
        ------
        TypeError
            If ``step`` is no int or ``loss`` no number.
        ValueError
            If ``step`` is negative or above `MAX_STEP`.
        """
        number = to_number(loss)
        if number is None:
            raise TypeError(f"ctx.report(step, loss) needs a number as loss, got {loss!r}")
        step = operator.index(step)
        if not 0 <= step <= MAX_STEP:
            raise ValueError(f"ctx.report(step, loss) needs 0 <= step <= 2**53 - 1, got {step!r}")
        if self._report is not None and math.isfinite(number):
            self._report(step, number)
        return "stop" if self.should_stop() else None


class ReportValve:
    """Lets the first ``free`` reports of an attempt through, later ones every ``interval_s``.

    The last report always gets through, at `close`.
    """

    def __init__(self, send: Report, free: int = 1000, interval_s: float = 0.1) -> None:
        self._send = send
        self._free = free
        self._interval_s = interval_s
        self._next = 0.0
        self._waiting: tuple[int, float] | None = None

    def __call__(self, step: int, loss: float) -> None:
        """Send this report, or keep it waiting."""
        self._free -= 1
        if self._free < 0 and time.monotonic() < self._next:
            self._waiting = (step, loss)
            return
        self._waiting = None
        self._send(step, loss)
        self._next = time.monotonic() + self._interval_s

    def close(self) -> None:
        """Send the last report if it is still waiting."""
        if self._waiting is not None:
            self._send(*self._waiting)
            self._waiting = None

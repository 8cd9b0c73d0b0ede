"""One attempt: call the objective on a payload and turn whatever happens into an outcome.

What runs attempts is a `Runner`: `inline_runner` has one for this process, `child_runner` one that
uses a child process.
"""

from __future__ import annotations

import math
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from hpdist.core.model.events import Assignment, AttemptResult
from hpdist.core.model.payload import Payload
from hpdist.core.model.values import Failure, FailureKind, Outcome
from hpdist.core.objective.context import Context, Report
from hpdist.core.objective.multi_objective import demand
from hpdist.core.objective.objective import Call
from hpdist.core.objective.returned_value import RefusedResult, normalise_result

GRACE_S = 5.0
"""How long an objective may take to end after SIGTERM."""

_MAX_TEXT = 64 * 1024
_OWN_MODULES = (
    "hpdist.core.attempt.evaluate",
    "hpdist.evaluator.coroutines",
    "hpdist.core.objective.objective",
    "hpdist.evaluator.profiling",
    "hpdist.evaluator.run_function",
)


class StopSwitch:
    """How an attempt is ended from another thread; made anew for each attempt."""

    def __init__(self) -> None:
        self.stop_requested = False
        self.deadline = math.inf  #: when to use force, on the monotonic clock
        self._lock = threading.Lock()
        self._wake: Callable[[], None] | None = None

    @property
    def cancelled(self) -> bool:
        """Whether the attempt's result is not wanted any more."""
        return self.deadline < math.inf

    def request_stop(self) -> None:
        """Ask the objective to return soon: ``ctx.should_stop()`` becomes true."""
        self.stop_requested = True
        self._changed()

    def cancel(self, grace_s: float = GRACE_S) -> None:
        """End the attempt, by force after ``grace_s`` seconds; a second call may shorten this."""
        self.stop_requested = True
        self.deadline = min(self.deadline, time.monotonic() + grace_s)
        self._changed()

    def listen(self, wake: Callable[[], None] | None) -> None:
        """Have ``wake`` called after each change from now on; it must not block.

        Once ``listen(None)`` has returned, the former one is not called any more.
        """
        with self._lock:
            self._wake = wake

    def _changed(self) -> None:
        with self._lock:
            if self._wake is not None:
                self._wake()


class Runner(Protocol):
    """Runs one attempt at a time, all from one thread that lives as long as the runner."""

    def start(self, switch: StopSwitch | None = None) -> None:
        """Make ready, so that the objective is built before the first attempt.

        Returns quietly when ``switch`` is cancelled meanwhile.

        Raises
        ------
        ConfigurationError
            If the objective cannot be built, with its traceback.
        """
        ...

    def run(
        self,
        payload: Payload,
        held: Assignment,
        *,
        directory_root: Path | None = None,
        on_report: Report | None = None,
        switch: StopSwitch | None = None,
    ) -> AttemptResult | None:
        """Run the attempt ``held``; return None if it was cancelled, so that it is handed back.

        Parameters
        ----------
        directory_root
            The run's directory, see `hpdist.core.journal.run_directory`; None for a temporary
            directory that is removed at `close`.
        on_report
            Called in this thread with each intermediate loss.
        """
        ...

    def close(self) -> None:
        """End everything the runner started; may be called twice."""
        ...


def evaluate(call: Call, name: str, payload: Payload, context: Context) -> Outcome:
    """Call the objective; whatever it returns or raises becomes an outcome.

    Only KeyboardInterrupt gets through in the main thread, where it is meant for the program as a
    whole; in others the objective has raised it itself.
    """
    try:
        value = call(payload, context)
    except KeyboardInterrupt as error:
        if threading.current_thread() is threading.main_thread():
            raise
        return failure_of(FailureKind.EXCEPTION, error)
    except MemoryError as error:
        return failure_of(FailureKind.MEMORY, error)
    except BaseException as error:  # noqa: BLE001 - the boundary around the user's objective
        return failure_of(FailureKind.EXCEPTION, error)
    outcome = normalise_result(value, name)
    return demand(outcome, payload.objectives, name)


def failure_of(kind: FailureKind, error: BaseException) -> Failure:
    """Describe an exception of the user's code, its traceback beginning there."""
    if isinstance(error, RefusedResult):
        return Failure(FailureKind.INVALID, f"the result is invalid: {error}")
    frames = error.__traceback__
    while frames and frames.tb_frame.f_globals.get("__name__") in _OWN_MODULES:
        frames = frames.tb_next
    told = traceback.TracebackException(type(error), error, frames)
    message = "".join(told.format_exception_only()).strip()
    return Failure(kind, message[:_MAX_TEXT], "".join(told.format())[-_MAX_TEXT:])


def timed_out(seconds: float) -> Failure:
    """Return the failure of an attempt that was allowed ``seconds`` and took longer."""
    return Failure(FailureKind.TIMEOUT, f"not done after {seconds:g} s, the time allowed")

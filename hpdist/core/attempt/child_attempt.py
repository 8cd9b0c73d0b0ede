"""One attempt in a child process: wait for its outcome, its limits, a cancellation or a crash."""

from __future__ import annotations

import json
import math
import signal
import time

from hpdist.core.attempt.child_messages import (
    MalformedMessageError,
    check_outcome,
    check_report,
    malformed_message,
    parse_message,
)
from hpdist.core.attempt.child_process import ChildProcess
from hpdist.core.attempt.memory_watch import MemoryWatch
from hpdist.core.attempt.objective_call import timed_out
from hpdist.core.attempt.stop_switch import GRACE_S, StopSwitch
from hpdist.core.model.states import FailureKind
from hpdist.core.model.values import Failure, Outcome
from hpdist.core.objective.context import Report

_CHECK_S = 1.0
"""How often to check that the child lives, since its own children may hold its pipe open."""

_EXIT_S = 1.0


class ChildAttempt:
    """Attempt ``number`` of a child; number 0 is the child's start, which has no loss."""

    def __init__(
        self,
        child: ChildProcess,
        name: str,
        number: int,
        switch: StopSwitch,
        *,
        on_report: Report | None = None,
        timeout: float | None = None,
        memory_limit: int | None = None,
    ) -> None:
        self._child = child
        self._name = name
        self._number = number
        self._switch = switch
        self._on_report = on_report
        self._timeout = math.inf if timeout is None else timeout
        self._deadline = time.monotonic() + self._timeout
        self._memory = None if memory_limit is None else MemoryWatch(child.pid, memory_limit)
        self._stop_sent = False
        self._over = False
        self._outcome: Outcome | None = None

    def run(self) -> Outcome | None:
        """Wait for the outcome; None if the attempt was cancelled, or a start went well.

        After a cancellation, a time-out, too much memory and a crash the child is dead.
        """
        self._switch.listen(self._child.wake)
        try:
            while not self._over:
                self._step()
        except MalformedMessageError:
            # what the child sends cannot be trusted any more
            self._child.kill()
            return malformed_message(self._name)
        finally:
            self._switch.listen(None)
        return self._outcome

    def _step(self) -> None:
        if self._switch.cancelled:
            self._child.end(lambda: self._switch.deadline)
            self._settle(None)
        elif time.monotonic() >= self._deadline:
            self._time_out()
        elif self._memory is not None and (failure := self._memory.failure()) is not None:
            self._child.kill()
            self._settle(failure)
        else:
            self._wait()

    def _wait(self) -> None:
        if self._switch.stop_requested and not self._stop_sent:
            self._stop_sent = True
            self._child.send(json.dumps({"stop": self._number}).encode())
        now = time.monotonic()
        until = min(self._deadline, now + _CHECK_S)
        if self._memory is not None:
            until = min(until, self._memory.next_check)
        self._take(self._child.wait(max(0.0, until - now)))
        if not self._over and self._child.gone:
            self._take(self._child.last_messages())
            if not self._over:
                self._settle(self._death())

    def _time_out(self) -> None:
        force_at = time.monotonic() + GRACE_S
        self._child.end(lambda: min(force_at, self._switch.deadline))
        self._settle(timed_out(self._timeout))

    def _settle(self, outcome: Outcome | None) -> None:
        self._over = True
        self._outcome = outcome

    def _take(self, bodies: list[bytes]) -> None:
        for body in bodies:
            kind, number, content = parse_message(body)
            if self._over or number != self._number:
                continue  # sent by a thread that an earlier attempt left behind
            if kind == "done":
                loaded = number == 0 and content == [None]
                self._settle(None if loaded else check_outcome(content[0], self._name))
            elif self._on_report is not None:
                self._on_report(*check_report(*content))

    def _death(self) -> Failure:
        code = self._child.wait_exit(_EXIT_S)
        self._child.kill()
        return crash(code, self._number)


def crash(exit_code: int | None, number: int) -> Failure:
    """Return the failure of attempt ``number`` (0: loading the objective) whose process died."""
    when = "while it was loaded" if number == 0 else "during the attempt"
    text = f"the objective's process died {when}: {describe(exit_code)}"
    return Failure(FailureKind.CRASH, text)


def describe(exit_code: int | None) -> str:
    """Describe how a process ended, from its exit code as `subprocess` gives it."""
    if exit_code is None:
        return "it closed its pipe to the worker"
    if exit_code >= 0:
        return f"exit code {exit_code}, as from os._exit({exit_code})"
    try:
        name = signal.Signals(-exit_code).name
    except ValueError:
        name = "a signal"
    hint = ", perhaps by the kernel for want of memory" if exit_code == -signal.SIGKILL else ""
    return f"killed by {name} ({-exit_code}){hint}"

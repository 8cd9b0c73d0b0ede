"""A pool of one process of loky, and how it is listened to, ended, and found dead."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future
from concurrent.futures import wait as wait_until_done
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any

from hpdist.core.attempt.child_attempt import crash
from hpdist.core.attempt.child_messages import ForgedMessageError, check_outcome, check_report
from hpdist.core.attempt.evaluate import StopSwitch
from hpdist.core.model.errors import ConfigurationError
from hpdist.core.model.values import Failure
from hpdist.core.objective.context import Report
from hpdist.executors import loky_process

_LOOK_S = 1.0
"""How often to see whether the process lives, should its own children hold its pipes open."""

_LOOK = os.WEXITED | os.WNOHANG | os.WNOWAIT
"""Look at a process' end and leave it to loky to take notice of it."""

_LONGEST = 4096
"""Bytes of a report, at most."""


class LokyPool:
    """One process of loky, and a pipe to it for reports and the wish that it stops."""

    def __init__(self, objective: bytes, name: str, environment: dict[str, str]) -> None:
        loky = import_loky()
        context = loky.backend.context.get_context("loky")
        self.pid = 0
        self._channel: Connection
        self._channel, self._theirs = context.Pipe()
        self._woken, self._waker = os.pipe()
        os.set_blocking(self._waker, False)
        self._future: Future[str] = Future()
        self._told = 0
        self._open = True
        self._executor = loky.ProcessPoolExecutor(
            max_workers=1,
            context=context,
            env=environment,
            initializer=loky_process.begin,
            initargs=(os.getpid(), self._theirs, objective, name),
        )

    @property
    def dead(self) -> bool:
        """Whether there was a process which has ended, as loky makes those that leak memory do."""
        return bool(self.pid) and not _lives(self.pid)

    @property
    def done(self) -> bool:
        """Whether there is an answer, or the news that none will come."""
        return self._future.done()

    def submit(self, function: Any, *arguments: object) -> None:
        """Begin to call ``function`` in the process."""
        try:
            self._future = self._executor.submit(function, *arguments)
        except BrokenExecutor as error:  # it has just died
            self._future = Future()
            self._future.set_exception(error)
        self._theirs.close()  # the process has it now; its death is to be seen as an end
        self._future.add_done_callback(lambda _: self._wake())

    def answer(self) -> Any:
        """Return what the function said; `ForgedMessageError` if it was not hpdist that said it."""
        try:
            return json.loads(self._future.result())
        except (RecursionError, TypeError, ValueError):
            raise ForgedMessageError from None

    def built(self, name: str) -> Failure | None:
        """Learn the process' id; return why it has no objective if it has none."""
        answer = self.answer()
        if isinstance(answer, int):
            self.pid = answer
            return None
        outcome = check_outcome(answer, name)
        return outcome if isinstance(outcome, Failure) else None

    def wait_for(
        self,
        switch: StopSwitch,
        until: float,
        number: int = 0,
        on_report: Report | None = None,
    ) -> None:
        """Wait for the end, the wish that it ends, or ``until``; pass on reports meanwhile."""
        switch.listen(self._wake)
        try:
            while not (self.done or switch.cancelled or time.monotonic() >= until):
                if self.dead:
                    break
                if switch.stop_requested:
                    self._tell_stop(number)
                self._listen(until, number, on_report)
        finally:
            switch.listen(None)

    def _tell_stop(self, number: int) -> None:
        if number <= self._told:
            return
        self._told = number
        with suppress(OSError):  # it has just died, which the waiting finds out
            self._channel.send_bytes(json.dumps(number).encode())

    def end_of(self, number: int, on_report: Report | None = None) -> Failure | None:
        """Pass on the last reports; return how the process died, None if there is an answer."""
        if not self.done:
            wait_until_done([self._future], _LOOK_S)  # what it said before is on its way
        self._take(number, on_report)
        error = self._future.exception() if self.done else None
        if self.done and error is None:
            return None
        code = _exit_code(self.pid)
        return crash(_told_by_loky(error) if code is None else code, number)

    def end(self, deadline: Callable[[], float]) -> None:
        """SIGTERM to the process' group; SIGKILL when the (changing) deadline has passed."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGTERM)
        while not self.done and (left := deadline() - time.monotonic()) > 0:
            wait([self._woken], min(left, 0.05))
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """End the process, and all that it has started."""
        if self.pid:
            with suppress(ProcessLookupError):
                # with what it has started, which may hold pipes open that loky waits for
                os.killpg(self.pid, signal.SIGKILL)
        self._executor.shutdown(wait=True, kill_workers=True)
        self._channel.close()
        self._theirs.close()
        waker, self._waker = self._waker, -1
        for fd in (waker, self._woken):
            os.close(fd)

    def _listen(self, until: float, number: int, on_report: Report | None) -> None:
        left = max(0.0, min(until - time.monotonic(), _LOOK_S))
        sources: list[Any] = [self._woken, *([self._channel] if self._open else [])]
        ready = wait(sources, left)
        if self._woken in ready:
            os.read(self._woken, 1024)
        if self._channel in ready:
            self._take(number, on_report)

    def _take(self, number: int, on_report: Report | None) -> None:
        """Pass on the reports that are there."""
        while message := self._received():
            try:
                about, step, loss = json.loads(message)
            except (RecursionError, TypeError, ValueError):
                raise ForgedMessageError from None
            if about == number and on_report is not None:
                on_report(*check_report(step, loss))

    def _received(self) -> bytes | None:
        try:
            if self._open and self._channel.poll():
                return self._channel.recv_bytes(_LONGEST)
        except (EOFError, OSError):
            self._open = False
        return None

    def _wake(self) -> None:
        with suppress(OSError):  # full: awake already; closed: nobody sleeps
            os.write(self._waker, b"!")


def _lives(pid: int) -> bool:
    """Whether a child of this process has not ended; loky may have heard of its end or not."""
    try:
        return os.waitid(os.P_PID, pid, _LOOK) is None
    except ChildProcessError:
        return False


def _exit_code(pid: int) -> int | None:
    """Look how a process ended; None if loky has heard of it. Signals are negative."""
    try:
        found = os.waitid(os.P_PID, pid, _LOOK) if pid else None
    except ChildProcessError:
        return None
    if found is None:
        return None
    return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status


def _told_by_loky(error: BaseException | None) -> int | None:
    found = re.search(r"exit codes? .*\((-?\d+)\)", str(error))
    return int(found[1]) if found else None


def import_loky() -> Any:
    """Return the package, or say what to install."""
    try:
        import loky
    except ImportError as error:
        raise ConfigurationError(
            'executor="loky" needs the loky package', do='pip install "hpdist[loky]"'
        ) from error
    return loky

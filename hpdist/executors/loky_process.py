"""A child process from a loky pool of one; `loky_child` is the code that runs in it."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Mapping
from concurrent.futures import BrokenExecutor, Future, wait
from multiprocessing.connection import Connection
from typing import Any

from hpdist.core.attempt.child_process import ChildProcess
from hpdist.core.model.errors import ConfigurationError
from hpdist.executors import loky_child

_RETURN_S = 10.0
"""How long the process may take to return from a task after it has sent the task's outcome."""

_PEEK = os.WEXITED | os.WNOHANG | os.WNOWAIT
"""Look at a process's end and leave it to loky to reap the process."""


class LokyProcess(ChildProcess):
    """A process of loky, which gets one task for each attempt.

    The messages of an attempt go over pipes of our own, as to any child; loky starts and replaces
    processes, and watches their memory between tasks. What they print goes to the terminal.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        loky = import_loky()
        context = loky.backend.context.get_context("loky")
        child_source, sink = context.Pipe(duplex=False)
        source, child_sink = context.Pipe(duplex=False)
        super().__init__(_taken(source), _taken(sink))
        self._child_ends = (child_source, child_sink)
        self._loading: Future[int] | None = None
        self._task: Future[Any] | None = None
        self._executor = loky.ProcessPoolExecutor(
            max_workers=1,
            context=context,
            env=dict(environment),
            initializer=loky_child.connect,
            initargs=(os.getpid(), *self._child_ends),
        )

    @property
    def pid(self) -> int:
        """Its process id; 0 until the objective is loaded."""
        loading = self._loading
        return loading.result() if loading is not None and _returned(loading) else 0

    @property
    def exited(self) -> bool:
        if self._task is not None and self._task.done() and not _returned(self._task):
            return True
        return self.pid > 0 and not _lives(self.pid)

    def assign(self, *bodies: bytes) -> None:
        """Send the messages of the next task, and have loky start it."""
        if self._task is not None:
            # The outcome comes over our pipe, a moment before loky has the end of the task. Between
            # tasks loky may end a process for its memory, which the next one should not meet.
            wait([self._task], _RETURN_S)
        self.send(*bodies)
        task = self._submit(loky_child.load if self._loading is None else loky_child.run_next)
        self._loading = self._loading or task
        self._task = task
        for end in self._child_ends:
            end.close()  # the process has them now; its death is to be seen as an end
        task.add_done_callback(self._wake_on_error)

    def wait_exit(self, timeout: float) -> int | None:
        code = _exit_code(self.pid)
        if code is None and self._task is not None:
            wait([self._task], timeout)  # loky fails the task when it has reaped the process
            code = _exit_code(self.pid)
        return _reported_exit_code(self._task) if code is None else code

    def kill(self) -> None:
        self._signal(signal.SIGKILL)
        self._executor.shutdown(wait=True, kill_workers=True)

    def _submit(self, function: Any) -> Future[Any]:
        try:
            task: Future[Any] = self._executor.submit(function)
        except BrokenExecutor as error:  # the process has just died
            task = Future()
            task.set_exception(error)
        return task

    def _wake_on_error(self, task: Future[Any]) -> None:
        if not _returned(task):
            self.wake()

    def _signal(self, number: int) -> None:
        if self.pid:
            super()._signal(number)
        else:  # the process id is not known while the objective is loaded, but loky knows it
            self._executor.shutdown(wait=True, kill_workers=True)


def import_loky() -> Any:
    """Return the package, or raise an error that names what to install."""
    try:
        import loky
    except ImportError as error:
        raise ConfigurationError(
            'executor="loky" needs the loky package', do='pip install "hpdist[loky]"'
        ) from error
    return loky


def _taken(end: Connection) -> int:
    """Return a descriptor of our own for an end of a pipe."""
    with end:
        return os.dup(end.fileno())


def _returned(task: Future[Any]) -> bool:
    """Whether a task has ended without an exception."""
    return task.done() and not task.cancelled() and task.exception() is None


def _lives(pid: int) -> bool:
    """Whether a child of this process has not ended, be it reaped by loky already or not."""
    try:
        return os.waitid(os.P_PID, pid, _PEEK) is None
    except ChildProcessError:
        return False


def _exit_code(pid: int) -> int | None:
    """Return the exit code of a process; None if it is alive or loky has reaped it."""
    try:
        found = os.waitid(os.P_PID, pid, _PEEK) if pid else None
    except ChildProcessError:
        return None
    if found is None:
        return None
    return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status


def _reported_exit_code(task: Future[Any] | None) -> int | None:
    """Return the exit code in the message with which loky failed a task."""
    if task is None or not task.done() or task.cancelled():
        return None
    found = re.search(r"exit codes? .*\((-?\d+)\)", str(task.exception()))
    return int(found[1]) if found else None

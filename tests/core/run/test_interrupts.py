"""Ctrl-C and SIGTERM leave a run that can be resumed, and say how."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hpdist.core.model.events import ControlRequested, Event
from hpdist.core.results.results import Results
from hpdist.core.run.inbox import QueueInbox
from hpdist.core.run.signals import interruptible

SCRIPT = Path(__file__).with_name("waiting_search.py")
EXECUTORS = [
    "process",
    *(pytest.param(each, marks=pytest.mark.slow) for each in ("serial", "loky")),
]
DEADLINE_S = 30.0


def events(inbox: QueueInbox) -> list[Event]:
    return [event for _, event in inbox.take(inbox.now())]


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not true():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)


# ------------------------------------------------------------------ in this process


@pytest.fixture
def handlers() -> Iterator[Callable[[], list[object]]]:
    def installed() -> list[object]:
        return [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

    before = installed()
    yield installed
    assert installed() == before, "the former handlers were not restored"


def test_the_first_ctrl_c_drains_and_the_second_raises(
    handlers: Callable[[], list[object]],
) -> None:
    inbox, told = QueueInbox(), []
    with interruptible(inbox, lambda: told.append("first")):
        os.kill(os.getpid(), signal.SIGINT)
        assert events(inbox) == [ControlRequested("drain", {"reason": "interrupted"})]
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert told == ["first"]
    assert events(inbox) == []


def test_sigterm_asks_to_stop_at_once(handlers: Callable[[], list[object]]) -> None:
    inbox = QueueInbox()
    with interruptible(inbox, lambda: None):
        os.kill(os.getpid(), signal.SIGTERM)
        told = {"reason": "SIGTERM", "shut_down_workers": False}
        assert events(inbox) == [ControlRequested("stop", told)]


def test_a_signal_wakes_a_loop_that_waits(handlers: Callable[[], list[object]]) -> None:
    inbox = QueueInbox()
    with interruptible(inbox, lambda: None):
        timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM))
        timer.start()
        assert len(inbox.take(inbox.now() + DEADLINE_S)) == 1
        timer.join()


def test_handlers_are_restored_when_the_block_raises(
    handlers: Callable[[], list[object]],
) -> None:
    def fail() -> None:
        with interruptible(QueueInbox(), lambda: None):
            inside.extend(handlers())
            raise ValueError("inside")

    inside: list[object] = []
    with pytest.raises(ValueError, match="inside"):
        fail()
    assert inside
    assert inside != handlers()


def test_a_signal_that_is_ignored_stays_ignored(handlers: Callable[[], list[object]]) -> None:
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interruptible(QueueInbox(), lambda: None):
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, former)


def test_another_thread_changes_no_handler(handlers: Callable[[], list[object]]) -> None:
    before, inside = handlers(), []

    def enter() -> None:
        with interruptible(QueueInbox(), lambda: None):
            inside.append(handlers())

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert inside == [before]


# ------------------------------------------------------------------ in a search of its own


class Search:
    """The script in a process of its own, on a terminal of its own."""

    def __init__(self, directory: Path, executor: str) -> None:
        self.directory = directory
        self.terminal, theirs = os.openpty()
        self.process = subprocess.Popen(
            [sys.executable, str(SCRIPT), str(directory), executor],
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(theirs, termios.TIOCSCTTY, 0),
            env={**os.environ, "TERM": "xterm"},
        )
        os.close(theirs)
        self.shown = b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        try:
            while part := os.read(self.terminal, 65536):
                self.shown += part
        except OSError:
            pass  # how Linux says that the other end of a terminal is closed

    def press_ctrl_c(self) -> None:
        os.write(self.terminal, b"\x03")

    def evaluating(self) -> int:
        """Wait until an evaluation runs; return the process it runs in."""
        files = self.directory.glob
        wait_until(lambda: any(file.read_text() for file in files("started-*")))
        return int(next(files("started-*")).read_text())

    def end(self) -> tuple[int, str]:
        output, _ = self.process.communicate(timeout=DEADLINE_S)
        self._reader.join(DEADLINE_S)
        os.close(self.terminal)
        return self.process.returncode, output.decode()


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize("executor", EXECUTORS)
def test_ctrl_c_lets_evaluations_end_and_says_how_to_go_on(tmp_path: Path, executor: str) -> None:
    search = Search(tmp_path, executor)
    search.evaluating()
    search.press_ctrl_c()
    wait_until(lambda: b"Ctrl-C again stops them now" in search.shown)
    (tmp_path / "go").touch()
    assert search.end() == (0, "stopped 1\n")
    assert f"hpdist resume {tmp_path / 'run'}".encode() in search.shown
    results = Results.read(tmp_path / "run")
    assert [one.state.value for one in results.evaluations] == ["completed"]

    again = Search(tmp_path, executor)
    assert again.end() == (0, "finished 3\n")
    assert b"found 1 finished" in again.shown


@pytest.mark.slow
@pytest.mark.parametrize("executor", EXECUTORS)
def test_the_second_ctrl_c_stops_at_once_and_the_run_can_be_resumed(
    tmp_path: Path, executor: str
) -> None:
    search = Search(tmp_path, executor)
    evaluator = search.evaluating()
    search.press_ctrl_c()
    wait_until(lambda: b"Ctrl-C again stops them now" in search.shown)
    search.press_ctrl_c()
    status, output = search.end()
    assert (status, output) == (-signal.SIGINT, "")
    assert gone(evaluator)
    results = Results.read(tmp_path / "run")
    assert results.reason == "stopped"
    assert [one.loss for one in results.evaluations] == [None]

    (tmp_path / "go").touch()
    again = Search(tmp_path, executor)
    assert again.end() == (0, "finished 3\n")
    assert (
        b"found 0 finished, 1 interrupted (handed in by their workers, or run again)" in again.shown
    )


@pytest.mark.slow
def test_sigterm_ends_what_runs_and_the_run_can_be_resumed(tmp_path: Path) -> None:
    search = Search(tmp_path, "process")
    evaluator = search.evaluating()
    search.process.send_signal(signal.SIGTERM)
    assert search.end() == (0, "stopped 1\n")
    assert gone(evaluator)
    assert b"stopped (SIGTERM)" in search.shown

    (tmp_path / "go").touch()
    assert Search(tmp_path, "process").end() == (0, "finished 3\n")
    attempts = [one.attempts for one in Results.read(tmp_path / "run").evaluations]
    assert attempts == [2, 1, 1]

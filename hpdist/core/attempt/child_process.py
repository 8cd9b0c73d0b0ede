"""A child process as its parent handles it: pipes, output, death.

One thread does everything here and is never blocked by the child: what cannot be written at once
waits in a buffer, and whatever the child prints is drained while waiting for its messages.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from hpdist.core.attempt.framing import FrameError, FrameReader, frame

MAX_OUTPUT = 64 * 1024
"""How many bytes of what an attempt printed are kept: the last ones."""

_CHUNK = 64 * 1024
KEY_VARIABLES = ("HPDIST_KEY", "HPDIST_KEY_FILE", "HPDIST_TLS_DIR")
"""What no objective gets to see."""


class ChildProcess:
    """A spawned `child_main` in a session, and so a process group, of its own.

    It dies with the *thread* that spawned it (the kernel binds it to that), so this thread has
    to live as long as the child is needed.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.silent = False  #: the child's end of the pipe is closed, or it sent rubbish
        self._frames = FrameReader()
        self._messages: list[bytes] = []
        self._outbox = bytearray()
        self._output = bytearray()
        theirs_in, self._sink = os.pipe()
        self._source, theirs_out = os.pipe()
        self._printed, theirs_print = os.pipe()
        self._woken, self._waker = os.pipe()
        self._fds = [self._sink, self._source, self._printed, self._woken, self._waker]
        self._selector = selectors.DefaultSelector()
        try:
            self._popen = subprocess.Popen(
                [sys.executable, "-m", "hpdist.core.attempt.child_main"]
                + [str(number) for number in (theirs_in, theirs_out, os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=theirs_print,
                stderr=theirs_print,
                pass_fds=(theirs_in, theirs_out),
                start_new_session=True,
                env=_environment(environment),
            )
        except OSError:
            self._close_pipes()
            raise
        finally:
            for fd in (theirs_in, theirs_out, theirs_print):
                os.close(fd)
        for fd in self._fds:
            os.set_blocking(fd, False)
        self._selector.register(self._source, selectors.EVENT_READ, self._receive)
        self._selector.register(self._printed, selectors.EVENT_READ, self._drain)
        self._selector.register(self._woken, selectors.EVENT_READ, self._sleep_again)

    @property
    def pid(self) -> int:
        """Its process id, which is also that of its group."""
        return self._popen.pid

    @property
    def exit_code(self) -> int | None:
        """As `subprocess.Popen.returncode`; None while it lives."""
        return self._popen.poll()

    @property
    def gone(self) -> bool:
        """Whether no answer can come any more, but what is in the pipe already."""
        return self.silent or self.exit_code is not None

    def send(self, *bodies: bytes) -> None:
        """Send messages; what the pipe does not take now goes out during `wait`."""
        for body in bodies:
            self._outbox += frame(body)
        self._flush()
        if self._outbox and self._sink not in self._selector.get_map():
            self._selector.register(self._sink, selectors.EVENT_WRITE, self._flush)

    def wake(self) -> None:
        """End a `wait` early, from any thread."""
        with suppress(BlockingIOError):
            os.write(self._waker, b"!")

    def wait(self, timeout: float) -> list[bytes]:
        """Return messages as they come; empty after ``timeout`` seconds or other news."""
        for key, _ in self._selector.select(timeout):
            key.data()
        messages, self._messages = self._messages, []
        return messages

    def last_words(self) -> list[bytes]:
        """Return the messages that are in the pipe already; for when the child is dead."""
        while not self.silent and self._receive():
            pass
        return self.wait(0)

    def take_output(self) -> str:
        """Return the end of what was printed since the last call."""
        for _ in range(2 + MAX_OUTPUT // _CHUNK):  # what a pipe can hold, were it never to end
            if not self._drain():
                break
        text = self._output[-MAX_OUTPUT:].decode("utf-8", "replace")
        self._output.clear()
        return text

    def wait_exit(self, timeout: float) -> int | None:
        """Wait for the child to exit by itself; None if it does not."""
        try:
            return self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def end(self, deadline: Callable[[], float]) -> None:
        """SIGTERM to the group, then SIGKILL as soon as the (changing) deadline has passed."""
        self._signal(signal.SIGTERM)
        while self.exit_code is None:
            left = deadline() - time.monotonic()
            if left <= 0:
                break
            self.wait(min(left, 0.05))
        self.kill()

    def kill(self) -> None:
        """End the whole process group, and wait for the child's end."""
        self._signal(signal.SIGKILL)
        # one that hangs in the kernel ends when the kernel lets it; nobody should wait for that
        self.wait_exit(10.0)

    def close(self) -> None:
        """Kill what is left and close the pipes."""
        self.kill()
        self._close_pipes()

    def _close_pipes(self) -> None:
        self._selector.close()
        while self._fds:
            os.close(self._fds.pop())

    def _signal(self, number: int) -> None:
        # the group may have members left when the child itself is dead
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def _receive(self) -> bool:
        """Read once; whether there may be more."""
        data = self._read(self._source)
        if data is None:
            return False
        try:
            self._messages += self._frames.feed(data)
        except FrameError:
            data = b""
            self._messages.append(b"")  # no message at all, which the reader will find
        if not data:
            self.silent = True
            self._selector.unregister(self._source)
        return bool(data)

    def _drain(self) -> bool:
        data = self._read(self._printed)
        if data == b"":
            with suppress(KeyError):
                self._selector.unregister(self._printed)
        self._output += data or b""
        if len(self._output) > 4 * MAX_OUTPUT:
            del self._output[:-MAX_OUTPUT]
        return bool(data)

    def _flush(self) -> None:
        try:
            while self._outbox:
                del self._outbox[: os.write(self._sink, memoryview(self._outbox)[:_CHUNK])]
        except BlockingIOError:
            return
        except BrokenPipeError:
            self._outbox.clear()  # its death is noticed where its messages are awaited
        if self._sink in self._selector.get_map():
            self._selector.unregister(self._sink)

    def _sleep_again(self) -> None:
        self._read(self._woken)

    @staticmethod
    def _read(fd: int) -> bytes | None:
        try:
            return os.read(fd, _CHUNK)
        except BlockingIOError:
            return None


def _environment(additions: Mapping[str, str]) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name not in KEY_VARIABLES}
    return {**inherited, "PYTHONUNBUFFERED": "1", **additions}

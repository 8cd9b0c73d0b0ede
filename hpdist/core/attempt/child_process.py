"""The parent's view of a child process that runs attempts: messages, signals, its end.

One thread does everything here and is never blocked by the child: what cannot be written at once
waits in a buffer. How the process is made, subclasses decide: `spawned_process`, and
`hpdist.executors.loky_process`.
"""

from __future__ import annotations

import os
import selectors
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress

from hpdist.core.attempt.pipe_framing import FrameError, FrameReader, frame

KEY_VARIABLES = ("HPDIST_KEY", "HPDIST_KEY_FILE", "HPDIST_TLS_DIR")
"""Environment variables that are hidden from objectives."""

READ_BYTES = 64 * 1024


class ChildProcess(ABC):
    """A process with `child_main` in it, in a session, and so a process group, of its own.

    It dies with the *thread* that made it (the kernel binds it to that), so this thread has to
    live as long as the child is needed.

    Parameters
    ----------
    source, sink
        The parent's ends of the pipes from and to the child; closed by `close`.
    """

    def __init__(self, source: int, sink: int) -> None:
        self.silent = False  #: the child's end of the pipe is closed, or it sent malformed data
        self._frames = FrameReader()
        self._messages: list[bytes] = []
        self._unsent = bytearray()
        self._source = source
        self._sink = sink
        self._wake_source, self._wake_sink = os.pipe()
        self._fds = [source, sink, self._wake_source, self._wake_sink]
        for fd in self._fds:
            os.set_blocking(fd, False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(source, selectors.EVENT_READ, self._receive)
        self._selector.register(self._wake_source, selectors.EVENT_READ, self._clear_wake)

    @property
    @abstractmethod
    def pid(self) -> int:
        """Its process id, which is also that of its group."""

    @property
    @abstractmethod
    def exited(self) -> bool:
        """Whether the process has ended."""

    @abstractmethod
    def wait_exit(self, timeout: float) -> int | None:
        """Wait for the process to exit by itself; return its exit code, None if it is not known.

        Signals are negative, as in `subprocess`.
        """

    def take_output(self) -> str:
        """Return the end of the output since the last call; empty if output is not captured."""
        return ""

    @property
    def gone(self) -> bool:
        """Whether the child can send no more messages, except those already in the pipe."""
        return self.silent or self.exited

    def assign(self, *bodies: bytes) -> None:
        """Send the messages of the child's next task: to load the objective, or an attempt."""
        self.send(*bodies)

    def send(self, *bodies: bytes) -> None:
        """Send messages; bytes that the pipe does not take now are sent during `wait`."""
        for body in bodies:
            self._unsent += frame(body)
        self._flush()
        if self._unsent and self._sink not in self._selector.get_map():
            self._selector.register(self._sink, selectors.EVENT_WRITE, self._flush)

    def wake(self) -> None:
        """End a `wait` early, from any thread."""
        with suppress(BlockingIOError):
            os.write(self._wake_sink, b"!")

    def wait(self, timeout: float) -> list[bytes]:
        """Return messages as they come; empty after ``timeout`` seconds or other events."""
        for key, _ in self._selector.select(timeout):
            key.data()
        messages, self._messages = self._messages, []
        return messages

    def last_messages(self) -> list[bytes]:
        """Return the messages that are in the pipe already; for when the child is dead."""
        while not self.silent and self._receive():
            pass
        return self.wait(0)

    def end(self, deadline: Callable[[], float]) -> None:
        """SIGTERM to the group, then SIGKILL as soon as the (changing) deadline has passed."""
        self._signal(signal.SIGTERM)
        while not self.exited:
            left = deadline() - time.monotonic()
            if left <= 0:
                break
            self.wait(min(left, 0.05))
        self.kill()

    def kill(self) -> None:
        """End the whole process group, and wait for the child's end."""
        self._signal(signal.SIGKILL)
        # one that hangs in the kernel ends when the kernel lets it: do not wait for that
        self.wait_exit(10.0)

    def close(self) -> None:
        """Kill the rest of the process group and close the pipes."""
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
        """Read once; return whether there may be more."""
        data = read_available(self._source)
        if data is None:
            return False
        try:
            self._messages += self._frames.feed(data)
        except FrameError:
            data = b""
            self._messages.append(b"")  # no valid message, so the reader rejects it
        if not data:
            self.silent = True
            self._selector.unregister(self._source)
        return bool(data)

    def _flush(self) -> None:
        try:
            while self._unsent:
                del self._unsent[: os.write(self._sink, memoryview(self._unsent)[:READ_BYTES])]
        except BlockingIOError:
            return
        except BrokenPipeError:
            self._unsent.clear()  # the child's death is noticed where its messages are awaited
        if self._sink in self._selector.get_map():
            self._selector.unregister(self._sink)

    def _clear_wake(self) -> None:
        read_available(self._wake_source)


def read_available(fd: int) -> bytes | None:
    """Read once from a non-blocking descriptor; None if there are no data, empty at its end."""
    try:
        return os.read(fd, READ_BYTES)
    except BlockingIOError:
        return None

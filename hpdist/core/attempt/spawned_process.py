"""A child process spawned with `subprocess`: the one behind ``isolation="process"``."""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress

from hpdist.core.attempt.child_process import (
    KEY_VARIABLES,
    READ_BYTES,
    ChildProcess,
    read_available,
)

MAX_OUTPUT = 64 * 1024
"""Number of bytes of an attempt's output that are kept: the last ones."""


class SpawnedProcess(ChildProcess):
    """Runs `child_main` as its main module, and captures its output."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        child_source, sink = os.pipe()
        source, child_sink = os.pipe()
        self._printed, child_print = os.pipe()
        super().__init__(source, sink)
        os.set_blocking(self._printed, False)
        self._fds.append(self._printed)
        self._output = bytearray()
        try:
            self._popen = subprocess.Popen(
                [sys.executable, "-m", "hpdist.core.attempt.child_main"]
                + [str(number) for number in (child_source, child_sink, os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=child_print,
                stderr=child_print,
                pass_fds=(child_source, child_sink),
                start_new_session=True,
                env=child_environment(environment),
            )
        except OSError:
            self._close_pipes()
            raise
        finally:
            for fd in (child_source, child_sink, child_print):
                os.close(fd)
        self._selector.register(self._printed, selectors.EVENT_READ, self._drain)

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def exited(self) -> bool:
        return self._popen.poll() is not None

    def wait_exit(self, timeout: float) -> int | None:
        try:
            return self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def take_output(self) -> str:
        # bounded by what a pipe can hold, since a child may print without end
        for _ in range(2 + MAX_OUTPUT // READ_BYTES):
            if not self._drain():
                break
        text = self._output[-MAX_OUTPUT:].decode("utf-8", "replace")
        self._output.clear()
        return text

    def _drain(self) -> bool:
        data = read_available(self._printed)
        if data == b"":
            with suppress(KeyError):
                self._selector.unregister(self._printed)
        self._output += data or b""
        if len(self._output) > 4 * MAX_OUTPUT:
            del self._output[:-MAX_OUTPUT]
        return bool(data)


def child_environment(additions: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a child: this process's without the key, and ``additions``."""
    inherited = {name: value for name, value in os.environ.items() if name not in KEY_VARIABLES}
    return {**inherited, "PYTHONUNBUFFERED": "1", **additions}

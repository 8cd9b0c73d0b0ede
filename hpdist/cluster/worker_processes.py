"""Worker processes on this machine: started, restarted when they die, and ended."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from hpdist.core.journal.run_directory import RunDirectory
from hpdist.core.model.errors import HpdistError

logger = logging.getLogger(__name__)

#: Seconds after which the end of a worker does not count as a failed start.
GOOD_START_S = 60.0

#: Failed starts in a row after which a worker is given up.
MAX_EARLY_DEATHS = 3

#: Seconds before a worker that died is started again, doubled each time in a row.
RESTART_DELAY_S = 1.0

#: Seconds that workers have to leave when they are shut down, and when they get SIGTERM.
LEAVE_S = 2.0
TERMINATE_S = 10.0

_TAIL_BYTES = 4000


class WorkerProcesses:
    """``count`` processes that run ``hpdist worker``, each monitored by a thread.

    They get the key through a pipe; its end also shows them that this process has ended.

    Parameters
    ----------
    arguments
        Arguments of ``hpdist worker``.
    path
        The run's directory; what worker *i* prints goes to ``logs/worker-<i>.log`` in it.
    environment
        Variables to set.
    """

    def __init__(
        self,
        count: int,
        arguments: Sequence[str],
        path: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._count = count
        self._arguments = ["--from-parent", *arguments]
        self._logs = RunDirectory(path).logs
        self._environment = _environment(environment or {})
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._alive: dict[int, subprocess.Popen[bytes]] = {}
        self._threads: list[threading.Thread] = []
        self._count_gone = 0
        self._failed: HpdistError | None = None

    def start(self, key: bytes, on_end: Callable[[HpdistError], None]) -> None:
        """Start them all.

        Parameters
        ----------
        on_end
            Called in a thread of its own when the last process has ended and any was given up.
        """
        self._logs.mkdir(parents=True, exist_ok=True)
        self._key = key
        self._on_end = on_end
        for index in range(self._count):
            name = f"hpdist-worker-process-{index}"
            thread = threading.Thread(target=self._supervise, args=(index,), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    @property
    def pids(self) -> list[int]:
        """Ids of the running processes."""
        with self._lock:
            return [process.pid for process in self._alive.values()]

    def log(self, index: int) -> Path:
        """Return the file that worker ``index`` writes to."""
        return self._logs / f"worker-{index}.log"

    def close(self) -> None:
        """Wait until all processes have ended; those that stay are terminated, and then killed."""
        self._closing.set()
        for number, seconds in ((signal.SIGTERM, LEAVE_S), (signal.SIGKILL, TERMINATE_S)):
            if self._wait(seconds):
                return
            for pid in self.pids:
                with suppress(ProcessLookupError):
                    os.killpg(pid, number)
        self._wait(TERMINATE_S)

    def _wait(self, seconds: float) -> bool:
        until = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    # ------------------------------------------------------------------ one process

    def _supervise(self, index: int) -> None:
        early = 0
        while not self._closing.is_set():
            start = time.monotonic()
            code = self._run(index)
            # 0: it was shut down, or asked to leave.
            if self._closing.is_set():
                return
            if code == 0:
                self._gone(None)
                return
            early = early + 1 if time.monotonic() - start < GOOD_START_S else 1
            if early == MAX_EARLY_DEATHS:
                self._give_up(index, code)
                return
            logger.warning("a worker ended with %s, see %s", _describe_code(code), self.log(index))
            self._closing.wait(RESTART_DELAY_S * 2 ** (early - 1))

    def _run(self, index: int) -> int:
        # One lock for starting and listing, so that `close` misses none.
        with self._lock, self.log(index).open("ab") as log:
            if self._closing.is_set():
                return 0
            process = self._alive[index] = subprocess.Popen(
                [sys.executable, "-m", "hpdist.cli.main", "worker", *self._arguments],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for this process only
                env=self._environment,
            )
        assert process.stdin is not None
        with suppress(BrokenPipeError), process.stdin as pipe:
            pipe.write(self._key.hex().encode() + b"\n")
            pipe.flush()
            # The pipe stays open as long as the worker is to run.
            process.wait()
        code = process.wait()
        with self._lock:
            del self._alive[index]
        return code

    def _give_up(self, index: int, code: int) -> None:
        error = HpdistError(
            f"worker process {index} was given up: it ended {MAX_EARLY_DEATHS} times with "
            f"{_describe_code(code)} soon after its start",
            cause=_tail(self.log(index)),
            do=f"read {self.log(index)}, fix the cause, and run the same command again",
        )
        self._gone(error)

    def _gone(self, error: HpdistError | None) -> None:
        """Count a worker that is not restarted; the last one reports if any was given up."""
        with self._lock:
            self._count_gone += 1
            self._failed = error or self._failed
            last = self._count_gone == self._count
        if last and self._failed is not None:
            self._on_end(self._failed)
        elif error is not None:
            logger.warning("%s", error)


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    """Return this process's variables, without the options that are meant for it alone."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("HPDIST_")}
    passed_on = ("HPDIST_KEY_FILE", "HPDIST_TLS_DIR")
    kept = {name: os.environ[name] for name in passed_on if name in os.environ}
    return own | kept | dict(more)


def _describe_code(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    with suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"


def _tail(path: Path) -> str:
    data = path.read_bytes()[-_TAIL_BYTES:]
    lines = data.decode("utf-8", "replace").strip().splitlines()
    return "\n".join(lines[-15:])

"""Election of the process that leads the search in a shared directory: leases and fencing.

Term *n* starts with the file ``<n>``, which only one process can create. Its leader rewrites
``<n>.heartbeat`` at intervals; when other processes see no change for a lease, one of them starts
term *n + 1*, and from then on the writes of the former leader have no effect (`FencedDisk`). No
file lock is needed, and clocks of different processes are never compared.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from hpdist.core.journal.disk import Disk
from hpdist.core.journal.durable_files import create_file, replace_file

RUNNING, FREE, FINISHED = "running", "free", "finished"

TERMS = "terms"
"""The directory of terms and heartbeats, within the directory of the search."""


class HeartbeatWatch:
    """Decides from its heartbeats whether a leader is alive: a pure state machine.

    Parameters
    ----------
    lease_s
        Seconds without a change after which the leader counts as dead.
    """

    def __init__(self, lease_s: float) -> None:
        self._lease_s = lease_s
        self._seen: object = None
        self._since = 0.0

    def silent(self, seen: object, now: float) -> bool:
        """Record the heartbeat at time ``now``; return True if it has not changed for a lease."""
        if seen != self._seen:
            self._seen = seen
            self._since = now
        return now - self._since > self._lease_s


class Election:
    """One process in the election of the leader, through files in ``directory``."""

    def __init__(self, directory: Path, name: str, lease_s: float) -> None:
        self._directory = directory
        self._name = name
        self.lease_s = lease_s
        self._watch = HeartbeatWatch(lease_s)
        self._term = 0  #: the term in which this process leads; 0 if it does not
        self._count = 0
        self._last_heartbeat = 0.0
        directory.mkdir(parents=True, exist_ok=True)

    @property
    def superseded(self) -> bool:
        """Whether this process is no longer the leader, or its lease may have run out."""
        late = time.monotonic() - self._last_heartbeat > self.lease_s / 2
        return not self._term or late or self._exists(self._term + 1)

    def read_heartbeat(self) -> tuple[int, dict[str, Any]]:
        """Return the last term, 0 before the first, and the heartbeat of its leader."""
        term = self._last()
        try:
            heartbeat = json.loads((self._directory / f"{term}.heartbeat").read_bytes())
        except (OSError, ValueError):  # not written yet
            heartbeat = {}
        return term, heartbeat if isinstance(heartbeat, dict) else {}

    def try_to_lead(self, *, renew: bool = False) -> bool:
        """Become the leader if there is none.

        With ``renew`` a search that has finished gets a leader too.
        """
        term, heartbeat = self.read_heartbeat()
        silent = self._watch.silent((term, heartbeat), time.monotonic())
        state = heartbeat.get("state")
        silent = silent or is_dead(heartbeat.get("process"))
        is_free = term == 0 or state == FREE or (state == FINISHED and renew)
        if not is_free and (state == FINISHED or not silent):
            return False
        if not create_file(self._directory / str(term + 1), self._name.encode()):
            return False
        self._term = term + 1
        self.heartbeat()
        return True

    def heartbeat(self, state: str = RUNNING) -> None:
        """Write a heartbeat: the leader is alive, or resigns with ``state``."""
        self._count += 1
        replace_contents(
            self._directory / f"{self._term}.heartbeat",
            json.dumps(
                {
                    "state": state,
                    "count": self._count,
                    "leader": self._name,
                    "process": [system(), os.getpid()],
                }
            ).encode(),
        )
        self._last_heartbeat = time.monotonic()

    def resign(self, state: str) -> None:
        """Stop leading: others may lead (`FREE`), or the search is `FINISHED`."""
        if self._term and not self._exists(self._term + 1):
            self.heartbeat(state)
        self._term = 0

    def _last(self) -> int:
        terms = [int(name) for name in os.listdir(self._directory) if name.isdigit()]
        return max(terms, default=0)

    def _exists(self, term: int) -> bool:
        # opened: a network file system may cache for seconds that the file does not exist
        try:
            os.close(os.open(self._directory / str(term), os.O_RDONLY))
        except FileNotFoundError:
            return False
        return True


def system() -> str:
    """Return an id of the booted system and its process namespace; "" if they are unknown."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def is_dead(process: Any) -> bool:
    """Whether a leader is known to be dead: it ran on this system, and its process has ended."""
    if not (isinstance(process, list) and len(process) == 2 and process[0] == system() != ""):
        return False
    try:
        os.kill(int(process[1]), 0)
    except ProcessLookupError:
        return True
    except (OSError, TypeError, ValueError):
        return False
    return False


def replace_contents(path: Path, data: bytes) -> None:
    """Replace a file, so that readers see either its old contents or the new ones."""
    # one per thread: two threads may reply on one channel, to an older call and a newer one
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    temporary.write_bytes(data)
    os.replace(temporary, path)


class FencedDisk(Disk):
    """The disk of a leader: once it is superseded, its journal counts as deleted.

    `hpdist.core.journal.journal.Journal` checks the number of names of its file before and after
    each write, and does not act on records that were written after it was superseded.
    """

    def __init__(self, superseded: Callable[[], bool]) -> None:
        self._superseded = superseded

    def status(self, fd: int) -> tuple[int, int]:
        size, names = super().status(fd)
        return size, 0 if self._superseded() else names

    def lock(self, fd: int) -> None:
        """Lock out programs that take part in no election, if the file system has locks."""
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            raise  # such a program writes to this run
        except OSError:
            pass  # no locks here: the election does not need them

    def unlock(self, fd: int) -> None:
        with suppress(OSError):
            super().unlock(fd)


def take_journal(path: Path, disk: Disk) -> None:
    """Continue in a copy of the journal, so that writes of the former leader are never read."""
    if path.exists():
        replace_file(path, path.read_bytes(), disk)

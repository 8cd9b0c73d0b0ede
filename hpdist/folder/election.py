"""Who holds the journal of a shared directory: a lease in files, and a fence behind it.

Term *n* begins with the file ``<n>``, which one process only can create. Its holder writes
``<n>.beat`` anew time and again; when others see no change for a lease, one of them begins term
*n + 1*, and whatever the former holder does from then on has no effect (`FencedDisk`). No file lock
is needed, and nobody's clock is compared with another's.
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


class Watch:
    """Sees from outside whether a holder is alive: a pure machine.

    Parameters
    ----------
    lease_s
        Seconds without a change after which the holder is given up.
    """

    def __init__(self, lease_s: float) -> None:
        self._lease_s = lease_s
        self._seen: object = None
        self._since = 0.0

    def silent(self, seen: object, now: float) -> bool:
        """Take notice of what the holder's files are at ``now``; whether it is to be given up."""
        if seen != self._seen:
            self._seen, self._since = seen, now
        return now - self._since > self._lease_s


class Election:
    """One process's part in who holds the directory ``place``."""

    def __init__(self, place: Path, name: str, lease_s: float) -> None:
        self._place, self._name, self.lease_s = place, name, lease_s
        self._watch = Watch(lease_s)
        self._term = 0  #: the one that this process holds
        self._count = 0
        self._beaten = 0.0  #: when it last showed that it lives
        place.mkdir(parents=True, exist_ok=True)

    @property
    def superseded(self) -> bool:
        """Whether this process may not act for the run any more."""
        late = time.monotonic() - self._beaten > self.lease_s / 2
        return not self._term or late or self._exists(self._term + 1)

    def look(self) -> tuple[int, dict[str, Any]]:
        """Return the last term, 0 before the first, and what its holder says."""
        term = self._last()
        try:
            said = json.loads((self._place / f"{term}.beat").read_bytes())
        except (OSError, ValueError):  # it has not come to this yet
            said = {}
        return term, said if isinstance(said, dict) else {}

    def stand(self, *, renew: bool = False) -> bool:
        """Become the holder if nobody is; with ``renew`` also of a search that has finished."""
        term, said = self.look()
        silent = self._watch.silent((term, said), time.monotonic())
        state = said.get("state")
        silent = silent or is_dead(said.get("process"))
        open_to_all = term == 0 or state == FREE or (state == FINISHED and renew)
        if not open_to_all and (state == FINISHED or not silent):
            return False
        if not create_file(self._place / str(term + 1), self._name.encode()):
            return False
        self._term = term + 1
        self.beat()
        return True

    def beat(self, state: str = RUNNING) -> None:
        """Show that the holder lives, or how it leaves."""
        self._count += 1
        write_whole(
            self._place / f"{self._term}.beat",
            json.dumps(
                {
                    "state": state,
                    "count": self._count,
                    "holder": self._name,
                    "process": [system(), os.getpid()],
                }
            ).encode(),
        )
        self._beaten = time.monotonic()

    def resign(self, state: str) -> None:
        """Hold nothing any more: the place is `FREE` for others, or the search `FINISHED`."""
        if self._term and not self._exists(self._term + 1):
            self.beat(state)
        self._term = 0

    def _last(self) -> int:
        terms = [int(name) for name in os.listdir(self._place) if name.isdigit()]
        return max(terms, default=0)

    def _exists(self, term: int) -> bool:
        # opened, not asked for: a network's disk may remember for seconds that it was not there
        try:
            os.close(os.open(self._place / str(term), os.O_RDONLY))
        except FileNotFoundError:
            return False
        return True


def system() -> str:
    """Name the system whose process numbers ours is one of; "" where that cannot be told."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def is_dead(process: Any) -> bool:
    """Whether a holder is known to be gone: one of this system whose number nobody has."""
    if not (isinstance(process, list) and len(process) == 2 and process[0] == system() != ""):
        return False
    try:
        os.kill(int(process[1]), 0)
    except ProcessLookupError:
        return True
    except (OSError, TypeError, ValueError):
        return False
    return False


def write_whole(path: Path, data: bytes) -> None:
    """Replace a file, so that readers see the old one or the new one."""
    # each thread its own: two may answer one line, the older call and the newer
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    temporary.write_bytes(data)
    os.replace(temporary, path)


class FencedDisk(Disk):
    """The disk of a holder: once it is superseded, its journal counts as gone.

    `hpdist.core.journal.journal.Journal` looks at a file's names before and after each write, and
    acts on nothing that was written in vain.
    """

    def __init__(self, superseded: Callable[[], bool]) -> None:
        self._superseded = superseded

    def status(self, fd: int) -> tuple[int, int]:
        size, names = super().status(fd)
        return size, 0 if self._superseded() else names

    def lock(self, fd: int) -> None:
        """Keep programs out that know of no election, where there are locks at all."""
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            raise  # such a program writes this run
        except OSError:
            pass  # no locks here: the election does without

    def unlock(self, fd: int) -> None:
        with suppress(OSError):
            super().unlock(fd)


def take_journal(path: Path, disk: Disk) -> None:
    """Go on in a copy of the journal, so that the former holder writes to what nobody reads."""
    if path.exists():
        replace_file(path, path.read_bytes(), disk)

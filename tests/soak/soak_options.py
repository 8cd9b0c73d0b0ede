"""How a soak is run: how much, on how many workers, and what befalls them how often."""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

RUN = "soak"

#: A job takes up to so many seconds, by its configuration.
LONGEST_JOB_S = 0.05

#: Workers that are never killed, so that there is somebody whose memory can be watched.
SPARED = 2


@dataclass(frozen=True)
class Options:
    """Seconds between faults of a kind, shares of calls, and limits.

    ``lease_s`` shortens all of the protocol's times, in proportion; ``stop_longest_s`` is the
    longest stop of a worker; ``limit_s`` ends the whole with a dump.
    """

    jobs: int
    workers: int
    seed: int
    kill_every: float
    stop_every: float
    master_every: float
    drop: float
    double: float
    lease_s: float
    stop_longest_s: float
    limit_s: float
    directory: Path | None = None
    json: Path | None = None

    def timing(self) -> dict[str, float]:
        """The times that a master tells its workers; see ``hpdist.Timing``."""
        lease_s = self.lease_s
        return {
            "lease_s": lease_s,
            "heartbeat_s": lease_s / 6,
            "closed_s": lease_s / 4,
            "poll_s": lease_s / 2,
            "backoff_s": lease_s,
        }


def read_options(arguments: Sequence[str] | None = None) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    add = parser.add_argument
    add("--jobs", type=int, default=500)
    add("--workers", type=int, default=4)
    add("--seed", type=int, help="of the search and of the faults; default: a new one")
    add("--kill-every", type=float, default=1.0, metavar="S", help="SIGKILL of a worker")
    add("--stop-every", type=float, default=10.0, metavar="S", help="SIGSTOP of a worker")
    add("--master-every", type=float, default=60.0, metavar="S", help="SIGKILL of the master")
    add("--drop", type=float, default=0.01, metavar="SHARE", help="of calls that are lost")
    add("--double", type=float, default=0.01, metavar="SHARE", help="of calls that come twice")
    add("--lease", type=float, default=6.0, dest="lease_s", metavar="S")
    add("--stop-longest", type=float, dest="stop_longest_s", metavar="S", help="default: 2 leases")
    add("--limit", type=float, dest="limit_s", metavar="S", help="give up after so many seconds")
    add("--directory", type=Path, help="where it runs, and what is kept; default: a temporary one")
    add("--json", type=Path, metavar="FILE", help="write the verdict there as well")
    found = vars(parser.parse_args(arguments))
    if found["workers"] <= SPARED or found["jobs"] < 1:
        parser.error(f"at least one job and {SPARED + 1} workers are needed")
    if found["seed"] is None:
        found["seed"] = random.randrange(2**32)
    found["stop_longest_s"] = found["stop_longest_s"] or 2 * found["lease_s"]
    found["limit_s"] = found["limit_s"] or 120 + 0.3 * found["jobs"]
    return Options(**found)

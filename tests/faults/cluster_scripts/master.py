"""The master of the run in this directory, begun or gone on with: ``master.py OPTIONS``.

OPTIONS is a JSON object: ``jobs`` in one rung, or ``hyperband`` iterations; ``timing`` and
``retry`` by their fields; with ``nameserver`` it has one of its own; with ``wait`` it serves
workers at once and begins to search when there is a file ``begin``; ``stay`` is as much in the
end, with a file ``leave``.

A file ``die`` that holds ``[kind, when, n]`` kills it, once, at the n-th commit with a record of
that kind: ``before`` it, when ``half`` of it is in the file, or ``after`` it, when nobody knows.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from hpdist import Master, NameServer, Retry, Space, Timing
from hpdist.core.journal.journal import Journal
from hpdist.multi_fidelity import Hyperband, SingleFidelity
from hpdist.optimizers import RandomSearch

TIMING = {"lease_s": 2.0, "heartbeat_s": 0.4, "closed_s": 1.0, "poll_s": 2.0, "backoff_s": 2.0}
DIE = Path("die")
commit_as_ever = Journal.commit
commits: Counter[str] = Counter()


def commit(journal: Journal) -> None:
    """Commit as ever, unless it is time to die."""
    kind, when, number = json.loads(DIE.read_text()) if DIE.exists() else ("", "", 0)
    commits[kind] += any(f'"kind":"{kind}"'.encode() in line for line, _ in journal._buffer)
    doomed = number > 0 and commits[kind] == number
    if doomed:
        DIE.unlink()
    if doomed and when == "half":
        data = b"".join(line for line, _ in journal._buffer)
        os.write(journal._fd, data[: len(data) // 2])
    if not doomed or when == "after":
        commit_as_ever(journal)
    if doomed:
        os.kill(os.getpid(), signal.SIGKILL)


def wait_for(name: str) -> None:
    while not Path(name).exists():
        time.sleep(0.01)


def main(options: dict[str, Any]) -> None:
    Journal.commit = commit  # type: ignore[method-assign]
    iterations = options.get("hyperband", 1)
    generator = (
        Hyperband(1, 27) if "hyperband" in options else SingleFidelity(num_configs=options["jobs"])
    )
    if options.get("nameserver"):
        NameServer("run", ".").start()
    with Master(
        "run",
        RandomSearch(Space.of({"x": (0.0, 1.0)})),
        generator,
        nameserver=None,
        timing=Timing(**{**TIMING, **options.get("timing", {})}),
        retry=Retry(**options.get("retry", {})),
        ping_interval=options.get("ping_interval", 60),
    ) as master:
        if options.get("wait"):
            master.wait_for_workers(0)
            wait_for("begin")
        master.run(n_iterations=iterations)
        if options.get("stay"):
            wait_for("leave")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    main(json.loads(sys.argv[1]))

"""``python -m benchmarks views``: speed-ups of views beside ipyparallel and Dask, on the same work.

146 tasks on 12 engines that sleep: 12 of them, the first, for 1 s, the others for 0.2 s. The best
there can be is 11.41. The peers run in interpreters of their own (``--python``), where they are
installed.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from hpdist.views import Client

HEAVY_S, LIGHT_S = 1.0, 0.2

PEERS = {
    "ipyparallel": """
import ipyparallel, time
def work(s):
    import time
    time.sleep(s)
with ipyparallel.Cluster(n={engines}, log_level=40) as rc:
    rc.wait_for_engines({engines})
    for view, name in ((rc.load_balanced_view(), "balanced"), (rc[:], "static")):
        view.map_sync(work, [0] * {engines})
        for _ in range({repeats}):
            t = time.perf_counter()
            view.map_sync(work, {durations})
            print("RESULT", name, {total} / (time.perf_counter() - t), flush=True)
""",
    "dask": """
import distributed, time
def work(s, i):
    time.sleep(s)
if __name__ == "__main__":
    with distributed.LocalCluster(n_workers={engines}, threads_per_worker=1,
                                  dashboard_address=None) as cluster, \\
            distributed.Client(cluster) as client:
        durations = {durations}
        client.gather(client.map(work, [0] * {engines}, range({engines}), pure=False))
        for _ in range({repeats}):
            t = time.perf_counter()
            client.gather(client.map(work, durations, range(len(durations)), pure=False))
            print("RESULT", "balanced", {total} / (time.perf_counter() - t), flush=True)
""",
}


def durations(engines: int) -> list[float]:
    """The seconds that each task sleeps."""
    count = engines * 12 + 2
    return [HEAVY_S if i < count // engines else LIGHT_S for i in range(count)]


def best(engines: int) -> float:
    """The speed-up of the best schedule: heavy tasks first, each on the first free engine."""
    free = [0.0] * engines
    for seconds in durations(engines):
        free.sort()
        free[0] += seconds
    return sum(durations(engines)) / max(free)


def own(engines: int, repeats: int) -> dict[str, list[float]]:
    """Speed-ups of hpdist's views, by a clock around the map."""
    work = durations(engines)
    with (
        tempfile.TemporaryDirectory() as directory,
        Client(Path(directory) / "run", engines=engines) as rc,
    ):
        views: dict[str, Callable[..., object]] = {
            "balanced": rc.load_balanced_view().map_sync,
            "static": rc[:].map_sync,
        }
        found = {}
        for name, run in views.items():
            run(time.sleep, [0.0] * engines)
            found[name] = [_timed(lambda run=run: run(time.sleep, work), work)  # type: ignore[misc]
                           for _ in range(repeats)]  # fmt: skip
    return found


def _timed(run: Callable[[], object], work: Sequence[float]) -> float:
    started = time.perf_counter()
    run()
    return sum(work) / (time.perf_counter() - started)


def peer(name: str, python: str, engines: int, repeats: int) -> dict[str, list[float]]:
    """Speed-ups of a peer in its own interpreter; empty where it is not installed."""
    work = durations(engines)
    values = {"engines": engines, "repeats": repeats, "durations": work, "total": sum(work)}
    with tempfile.TemporaryDirectory() as directory:
        script = Path(directory) / "peer.py"
        script.write_text(PEERS[name].format(**values))
        done = subprocess.run(
            [python, str(script)], capture_output=True, text=True, cwd=directory, timeout=600
        )
    found: dict[str, list[float]] = {}
    for line in done.stdout.splitlines():
        if line.startswith("RESULT"):
            _, kind, value = line.split()
            found.setdefault(kind, []).append(float(value))
    return found


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks views", description=__doc__)
    parser.add_argument("--engines", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--python", default=sys.executable, help="interpreter with the peers")
    options = parser.parse_args(arguments)
    print(f"{options.engines} engines, best possible: {best(options.engines):.2f}")
    rows = {"hpdist": own(options.engines, options.repeats)}
    rows |= {name: peer(name, options.python, options.engines, options.repeats) for name in PEERS}
    for name, found in rows.items():
        speed_ups = [
            f"{kind} {statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"
            for kind, values in found.items()
        ]
        print(f"{name:12} {'   '.join(speed_ups) or 'is not installed there'}")

"""The same tasks by a static and by a load-balanced view: who waits for whom.

Two experiments: tasks of which the first are heavy, so that a static view gives them all to the
first engine; and tasks of random length. Prints speed-ups, and saves a timetable of each. Needs
``pip install "hpdist[plot]"``.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

from hpdist.plot import plot_load_histograms, plot_timetable
from hpdist.views import AsyncResult, Client

SETUP = """
import os
from time import sleep
pid = os.getpid()
"""


# Names that are not defined here are those of the engines.


def high_variated_work(i: int) -> int:
    """Sleep five times as long for the first elements."""
    heavy = i < total_works // num_engines  # type: ignore[name-defined]  # noqa: F821
    sleep((1.0 if heavy else 0.2) * scale)  # type: ignore[name-defined]  # noqa: F821
    return pid  # type: ignore[name-defined,no-any-return]  # noqa: F821


def randomized_work(load: float) -> int:
    """Sleep for a load."""
    sleep(load * 0.1 * scale)  # type: ignore[name-defined]  # noqa: F821
    return pid  # type: ignore[name-defined,no-any-return]  # noqa: F821


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engines", type=int, default=12)
    parser.add_argument("--scale", type=float, default=1.0, help="Of all durations.")
    parser.add_argument("--directory", type=Path, default=Path("."))
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as place,
        Client(Path(place) / "engines", engines=options.engines) as rc,
    ):
        dview, lbview = rc[:], rc.load_balanced_view()
        dview.execute(SETUP).get()
        dview["num_engines"] = options.engines
        dview["total_works"] = options.engines * 12 + 2
        dview["scale"] = options.scale
        print(f"{len(rc)} engines, processes {dview['pid']}")

        loads = np.random.RandomState(9527).gamma(7.5, 0.5, options.engines * 15)
        experiments = {
            "heavy tasks first": (high_variated_work, list(range(options.engines * 12 + 2))),
            "random lengths": (randomized_work, loads.tolist()),
        }
        for name, (function, items) in experiments.items():
            balanced = lbview.map_async(function, items)
            balanced.wait_interactive()
            static = dview.map_async(function, items)
            static.wait_interactive()
            print(
                f"{name}: speed-up of the load-balanced view {balanced.speedup:.2f}, of the "
                f"static one {static.speedup:.2f} (ideal: {len(rc)})"
            )
            picture(options.directory / f"{name.replace(' ', '-')}.png", name, balanced, static)
    figure, axes = plt.subplots(2, sharex=True)
    many = np.random.RandomState(9527).gamma(7.5, 0.5, 1000)
    plot_load_histograms({"tasks": loads * 0.1, "1000 tasks": many * 0.1}, ax=axes)
    figure.savefig(options.directory / "loads.png")


def picture(path: Path, name: str, balanced: AsyncResult, static: AsyncResult) -> None:
    """Save both timetables, one above the other."""
    figure, axes = plt.subplots(2, sharex=True, figsize=(9, 8), layout="constrained")
    for axis, kind, result in ((axes[0], "load-balanced", balanced), (axes[1], "static", static)):
        plot_timetable(result.timeline(), ax=axis)
        axis.set_title(f"{name}, {kind} view")
    figure.savefig(path)
    plt.close(figure)


if __name__ == "__main__":
    main()

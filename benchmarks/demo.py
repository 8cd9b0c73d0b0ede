"""Does ``hpdist demo`` end better than random search does in the same time?

    python -m benchmarks demo [--seeds 10]

For each seed the demo's search runs to its end, with two workers in this process' children; then
random search, at the highest budget, gets as long. Writes ``benchmarks/results/demo.txt`` and
``demo.png``.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quality.regret import signed_rank
from benchmarks.quality.tables import table
from hpdist import minimize
from hpdist.cli.demo_objective import budget, space, train
from hpdist.multi_fidelity import SingleFidelity

WORST = math.log(10)  #: of guessing one of ten digits
RESULTS = Path(__file__).parent / "results"


def search(seed: int, **how: Any) -> tuple[list[tuple[float, float, float]], float]:
    """Return (seconds, budget, loss) of the incumbents, and how long it took."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        results = minimize(
            train,
            space,
            workers=2,
            run=Path(directory) / "run",
            progress="none",
            seed=seed,
            **how,
        )
    changes = [(one.at, one.budget, one.loss) for one in results.incumbents]
    return changes, time.monotonic() - started


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks demo", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--results", type=Path, default=RESULTS)
    chosen = parser.parse_args(arguments)
    low, high = budget
    once = SingleFidelity(high, num_configs=1_000_000)
    lines = [["seed", "seconds", "demo", "random search"]]
    curves: dict[str, list[Any]] = {"demo": [], "random search": []}
    for seed in range(chosen.seeds):
        ours, seconds = search(seed, min_budget=low, max_budget=high)
        other, _ = search(seed, iter_generator=once, optimizer="random", time_limit=seconds)
        other = [change for change in other if change[0] <= seconds]
        curves["demo"].append(ours)
        curves["random search"].append(other)
        lines.append([str(seed), f"{seconds:.1f}", f"{ours[-1][2]:.4f}", f"{_end(other):.4f}"])
    ends = np.array([[float(cell) for cell in line[2:]] for line in lines[1:]])
    apart = ends[:, 0] - ends[:, 1]
    means = [f"{value:.4f}" for value in np.nanmean(ends, axis=0)]
    lines.append(["mean", "", *means])
    verdict = (
        f"demo lower in {(apart < 0).sum()}, equal in {(apart == 0).sum()}, higher in "
        f"{(apart > 0).sum()} of {len(apart)}; Wilcoxon p = {signed_rank(apart):.2g}"
    )
    text = f"Validation log loss at the end\n\n{table(lines)}\n\n{verdict}"
    print(text)
    (chosen.results / "demo.txt").write_text(text + "\n")
    _plot(curves, chosen.results / "demo.png")


def _end(changes: list[tuple[float, float, float]]) -> float:
    return changes[-1][2] if changes else WORST


def _plot(curves: dict[str, list[Any]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    end = max(change[0] for runs in curves.values() for run in runs for change in run)
    moments = np.linspace(0.0, end, 100)
    for color, (name, runs) in zip(("C0", "C1"), curves.items(), strict=True):
        losses = np.array([[_at(run, moment) for moment in moments] for run in runs])
        middle = np.nanmean(losses, axis=0)
        axes.plot(moments, middle, color=color, label=name)
        low, high = np.nanpercentile(losses, [25, 75], axis=0)
        axes.fill_between(moments, low, high, color=color, alpha=0.15, linewidth=0)
    axes.set_yscale("log")
    axes.set_xlabel("seconds")
    axes.set_ylabel("validation log loss of the incumbent")
    axes.set_title(f"hpdist demo, {len(curves['demo'])} seeds: mean and middle half")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=110)


def _at(changes: list[tuple[float, float, float]], moment: float) -> float:
    """Return the loss of the incumbent; that of guessing while there is none."""
    return next((loss for at, _, loss in reversed(changes) if at <= moment), WORST)

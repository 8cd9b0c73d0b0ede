"""Compare searches by the wall clock on real trainings of scikit-learn.

    python -m benchmarks trainings [--seconds 20] [--seeds 3] [--methods hpdist,random,optuna]

One process at a time. Validation loss of the incumbent after a quarter, a half and all of the
time, and its loss on data that no search has seen. Writes ``benchmarks/results/trainings.txt``
and ``trainings.png``.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.quality.tables import table
from benchmarks.trainings.searches import METHODS, Change
from benchmarks.trainings.tasks import DATASETS, TASKS, split

RESULTS = Path(__file__).parents[1] / "results"
SHARES = 0.25, 0.5, 1.0
Runs = dict[tuple[str, str, str], list[list[Change]]]


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks trainings",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--methods", default="hpdist,random,optuna")
    parser.add_argument("--results", type=Path, default=RESULTS)
    chosen = parser.parse_args(arguments)
    warnings.filterwarnings("ignore")
    methods = chosen.methods.split(",")
    runs: Runs = {}
    for seed in range(chosen.seeds):
        for dataset in DATASETS:
            for name, task in TASKS.items():
                for method in methods:
                    found = METHODS[method](task, split(dataset), chosen.seconds, seed)
                    runs.setdefault((dataset, name, method), []).append(found)
                    print(f"{dataset} {name} {method} {seed}: {found[-1:]}", file=sys.stderr)
    text = f"{chosen.seconds:g} s each, {chosen.seeds} seeds\n\n{_table(runs, chosen.seconds)}"
    print(text)
    (chosen.results / "trainings.txt").write_text(text + "\n")
    _plot(runs, chosen.seconds, methods, chosen.results / "trainings.png")


def _at(changes: list[Change], moment: float) -> float:
    return next((one.loss for one in reversed(changes) if one.at <= moment), np.nan)


def _table(runs: Runs, seconds: float) -> str:
    lines = [["data", "learner", "method", "at 25 / 50 / 100 %", "test"]]
    for (dataset, name, method), seeds in runs.items():
        cells = " / ".join(_mean([_at(e, share * seconds) for e in seeds]) for share in SHARES)
        test = _mean([each[-1].test if each else np.nan for each in seeds])
        lines.append([dataset, name, method, cells, test])
    return table(lines)


def _mean(values: list[float]) -> str:
    """Return the mean; "-" if in some run nothing had finished."""
    return "-" if np.isnan(values).any() else f"{np.mean(values):.4f}"


def _plot(runs: Runs, seconds: float, methods: Sequence[str], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6), layout="constrained")
    grid = figure.subplots(len(DATASETS), len(TASKS), sharex=True)
    moments = np.linspace(0.02, 1.0, 50) * seconds
    for row, dataset in zip(grid, DATASETS, strict=True):
        for axes, name in zip(row, TASKS, strict=True):
            for method in methods:
                seeds = runs[dataset, name, method]
                curves = np.array([[_at(each, moment) for moment in moments] for each in seeds])
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # nothing had finished yet
                    axes.plot(moments, np.nanmean(curves, axis=0), label=method)
            axes.set_title(f"{dataset}: {name}")
            axes.set_yscale("log")
            axes.grid(alpha=0.3)
    grid[0][0].legend(frameon=False)
    figure.supxlabel("seconds")
    figure.supylabel("validation loss of the incumbent")
    figure.savefig(path, dpi=110)

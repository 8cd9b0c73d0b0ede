"""Runs as rows of a CSV file: each is done once, and more can be added later."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SHARES = tuple(index / 20 for index in range(1, 21))
"""Shares of the budget after which the incumbent is looked at."""

HEADER = (
    *("optimizer", "set", "problem", "seed"),
    *(f"at_{round(100 * share)}" for share in SHARES),
    *("evaluations", "seconds", "idle"),
)


@dataclass(frozen=True)
class Row:
    """One run.

    Attributes
    ----------
    scores
        True losses of the incumbent after each of `SHARES`.
    seconds
        Processor time of asking and telling.
    idle
        Share of the workers' time in which they had nothing to do.
    """

    optimizer: str
    set: str
    problem: str
    seed: int
    scores: tuple[float, ...]
    evaluations: int
    seconds: float
    idle: float

    @property
    def key(self) -> tuple[str, str, str, int]:
        return self.optimizer, self.set, self.problem, self.seed


def read(directory: Path) -> Iterator[Row]:
    """Read all rows of a directory's CSV files."""
    for path in sorted(directory.glob("*.csv")):
        with path.open(newline="") as file:
            yield from (_row(line) for line in csv.DictReader(file))


def append(path: Path, row: Row) -> None:
    """Add a row to a file, which gets its header first."""
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if new:
            writer.writerow(HEADER)
        scores = (f"{score:.6g}" for score in row.scores)
        costs = f"{row.seconds:.4f}", f"{row.idle:.4f}"
        writer.writerow([*row.key, *scores, row.evaluations, *costs])


def _row(line: dict[str, str]) -> Row:
    scores = tuple(float(line[name]) for name in HEADER if name.startswith("at_"))
    names = line["optimizer"], line["set"], line["problem"]
    numbers = int(line["evaluations"]), float(line["seconds"]), float(line["idle"])
    return Row(*names, int(line["seed"]), scores, *numbers)

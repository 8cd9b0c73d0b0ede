"""The fault matrix: rows of (fault, moment, expected), each played with real processes.

No failure in n independent trials bounds the rate of failures by 3/n, at 95 %.
"""

from __future__ import annotations

import importlib
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stage import Stage

Figures = dict[str, float]

Play = Callable[[Stage, random.Random], Figures]
"""Plays a fault, has the stage judged, and returns what it measured, by name.

A name ends with its unit, as in "requeued s".
"""


@dataclass(frozen=True)
class Row:
    """One fault at one moment.

    ``long`` rows take so much time that they are played on demand only.
    """

    fault: str
    moment: str
    expected: str
    play: Play
    long: bool = False

    @property
    def name(self) -> str:
        return f"{self.fault}: {self.moment}"


@dataclass(frozen=True)
class Trial:
    """What came of a row played once; ``error`` is empty when it went as expected."""

    row: Row
    seed: int
    seconds: float
    figures: Figures = field(default_factory=dict)
    error: str = ""


def collect() -> list[Row]:
    """All rows there are: those that the modules ``rows_*.py`` list as ROWS."""
    names = sorted(path.stem for path in Path(__file__).parent.glob("rows_*.py"))
    rows = [row for name in names for row in importlib.import_module(name).ROWS]
    doubled = {row.name for row in rows if [other.name for other in rows].count(row.name) > 1}
    assert not doubled, f"rows of one name: {doubled}"
    return rows


def play(row: Row, seed: int) -> Trial:
    """Play a row once, in a directory that is removed unless it fails."""
    began = time.monotonic()
    directory = Path(tempfile.mkdtemp(prefix="fault-"))
    stage = Stage(directory)
    error, figures = "", {}
    try:
        figures = row.play(stage, random.Random(f"{row.name} {seed}"))
        assert stage.verdict is not None, "the row does not have its run judged"
    except Exception as failure:  # noqa: BLE001  (whatever it is, it is a failure of this row)
        error = f"{type(failure).__name__}: {failure}\n(what is left: {directory})"
    finally:
        stage.close()
    if not error:
        shutil.rmtree(directory)
    return Trial(row, seed, time.monotonic() - began, figures, error)


def bound(failures: int, trials: int) -> float:
    """The highest rate of failures that fits what was seen, at 95 %."""
    if failures == 0:
        return min(1.0, 3 / trials)
    if failures == trials:
        return 1.0
    from scipy.stats import beta

    return float(beta.ppf(0.95, failures + 1, trials - failures))


HEAD = ("fault", "moment", "expected", "trials", "failures", "rate below", "median / worst")


def table(trials: Sequence[Trial]) -> list[tuple[str, ...]]:
    """The rows of `HEAD`, in the order of the first trials, and one for all together."""
    rows = list(dict.fromkeys(trial.row for trial in trials))
    lines = [_line(row, [trial for trial in trials if trial.row is row]) for row in rows]
    failures = sum(bool(trial.error) for trial in trials)
    rate = _percent(bound(failures, len(trials)))
    return [*lines, ("all", "", "", str(len(trials)), str(failures), rate, "")]


def _line(row: Row, trials: Sequence[Trial]) -> tuple[str, ...]:
    failures = sum(bool(trial.error) for trial in trials)
    names = dict.fromkeys(name for trial in trials for name in trial.figures)
    measured = "; ".join(
        _measured(name, [trial.figures[name] for trial in trials if name in trial.figures])
        for name in names
    )
    rate = _percent(bound(failures, len(trials)))
    return row.fault, row.moment, row.expected, str(len(trials)), str(failures), rate, measured


def _measured(name: str, values: Sequence[float]) -> str:
    what, _, unit = name.rpartition(" ")
    return f"{what} {statistics.median(values):.3g} / {max(values):.3g} {unit}"


def _percent(rate: float) -> str:
    return f"{100 * rate:.3g} %"


def as_rst(lines: Iterable[Sequence[str]], title: str) -> str:
    """A list-table of reStructuredText."""
    text = f".. list-table:: {title}\n   :header-rows: 1\n\n"
    for line in [HEAD, *lines]:
        for index, cell in enumerate(line):
            text += f"   {'*' if index == 0 else ' '} - {cell}".rstrip() + "\n"
    return text


def as_text(lines: Sequence[Sequence[str]]) -> str:
    """Columns that a terminal shows."""
    widths = [max(len(line[i]) for line in [HEAD, *lines]) for i in range(len(HEAD))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in [HEAD, *lines]
    )

"""``python -m tests.faults --trials N``: play the fault matrix, and print its table."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import matrix


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each trial, and the table; returns 1 if one failed."""
    options = _parser().parse_args(arguments)
    rows = [
        row
        for row in matrix.collect()
        if options.rows.lower() in row.name.lower() and (options.long or not row.long)
    ]
    if not rows:
        sys.stderr.write(f"no row has {options.rows!r} in its name\n")
        return 2
    until = time.monotonic() + 60 * options.minutes
    trials: list[matrix.Trial] = []
    for seed in range(options.seed, options.seed + options.trials):
        for row in rows:
            if time.monotonic() > until:
                break
            trials.append(matrix.play(row, seed))
            _tell(trials[-1])
    lines = matrix.table(trials)
    sys.stdout.write(f"\n{matrix.as_text(lines)}\n")
    if options.json:
        options.json.write_text(json.dumps([_as_json(trial) for trial in trials], indent=1))
    if options.rst:
        command = "python -m tests.faults " + " ".join(sys.argv[1:])
        options.rst.write_text(matrix.as_rst(lines, f"{time.strftime('%Y-%m-%d')}, {command}"))
    return int(any(trial.error for trial in trials))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--trials", type=int, default=1, help="of each row")
    parser.add_argument("--rows", default="", help="only those with this in their name")
    parser.add_argument("--seed", type=int, default=0, help="of the first trial of each row")
    parser.add_argument("--minutes", type=float, default=1e9, help="begin no trial after that")
    parser.add_argument("--long", action="store_true", help="also rows that take minutes")
    parser.add_argument("--json", type=Path, help="write all trials to this file")
    parser.add_argument("--rst", type=Path, help="write the table to this file")
    return parser


def _tell(trial: matrix.Trial) -> None:
    word = "FAILED" if trial.error else "ok"
    sys.stdout.write(f"{word:<6} {trial.seconds:6.1f} s  seed {trial.seed:<3} {trial.row.name}\n")
    if trial.error:
        again = f'python -m tests.faults --long --seed {trial.seed} --rows "{trial.row.name}"'
        sys.stdout.write(f"{trial.error}\nagain: {again}\n")
    sys.stdout.flush()


def _as_json(trial: matrix.Trial) -> dict[str, object]:
    return {
        "fault": trial.row.fault,
        "moment": trial.row.moment,
        "expected": trial.row.expected,
        "seed": trial.seed,
        "seconds": round(trial.seconds, 2),
        "figures": trial.figures,
        "error": trial.error,
    }


if __name__ == "__main__":
    sys.exit(main())

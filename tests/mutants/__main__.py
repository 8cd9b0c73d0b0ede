"""``python -m tests.mutants [name ...]``: try deliberate faults, and print what noticed them."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from catalogue import MUTANTS
from runner import Verdict, judge_all


def main() -> int:
    """Print a line for each mutant; returns 1 if one survived."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", help="mutants by a part of their names; all if none")
    parser.add_argument("--json", action="store_true", help="one JSON object a mutant")
    options = parser.parse_args()
    chosen = [
        mutant
        for mutant in MUTANTS
        if not options.names or any(name in mutant.name for name in options.names)
    ]
    survived = 0
    for verdict in judge_all(chosen):
        sys.stdout.write(_as_json(verdict) if options.json else _as_text(verdict))
        sys.stdout.flush()
        survived += not verdict.killed
    return int(survived > 0)


def _as_json(verdict: Verdict) -> str:
    data = {"name": verdict.mutant.name, "killed": verdict.killed, "said": verdict.said}
    return json.dumps(data) + "\n"


def _as_text(verdict: Verdict) -> str:
    state = "killed  " if verdict.killed else "SURVIVED"
    test = verdict.mutant.killed_by.rpartition("/")[2]
    return f"{state}  {verdict.mutant.name}\n          {test}\n          {verdict.said}\n"


if __name__ == "__main__":
    sys.exit(main())

"""``python -m tests.mutants [name ...]``: try deliberate faults, and print what noticed them."""

from __future__ import annotations

import argparse
import ast
import difflib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # threads would not be there after a fork
sys.path.insert(0, str(Path(__file__).parent))

from catalogue import MUTANTS
from controls import CONTROLS
from mutation import Mutant, mutated, original
from runner import Verdict, judge_all


def main() -> int:
    """Print a line for each mutant; returns 1 if one survived."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", help="mutants by a part of their names; all if none")
    parser.add_argument("--json", action="store_true", help="one JSON object a mutant")
    parser.add_argument("--show", action="store_true", help="try nothing, print the changes")
    options = parser.parse_args()
    if options.show:
        sys.stdout.writelines(_changes(mutant) for mutant in _chosen(options.names))
        return 0
    verdicts: list[Verdict] = []

    def report(verdict: Verdict) -> None:
        verdicts.append(verdict)
        sys.__stdout__.write(_as_json(verdict) if options.json else _as_text(verdict))
        sys.__stdout__.flush()

    judge_all(_chosen(options.names), report)
    return int(not all(verdict.killed for verdict in verdicts))


def _chosen(names: Sequence[str]) -> list[Mutant]:
    """Return the mutants of these names, where a name may be a part of one."""
    if not names:
        return list(MUTANTS)
    known = {mutant.name: mutant for mutant in (*MUTANTS, *CONTROLS)}
    wanted = {full for name in names for full in known if name == full}
    wanted |= {full for name in names if name not in known for full in known if name in full}
    return [mutant for name, mutant in known.items() if name in wanted]


def _changes(mutant: Mutant) -> str:
    """Return what a mutant changes, as a diff without comments and format."""
    lines = [mutant.name]
    for change in mutant.changes:
        function = ast.fix_missing_locations(mutated(mutant, change))
        old, new = (ast.unparse(each).splitlines() for each in (original(change), function))
        diff = difflib.unified_diff(old, new, change.module, change.function, lineterm="", n=2)
        lines += ["    " + line for line in diff]
    return "\n".join([*lines, "", ""])


def _as_json(verdict: Verdict) -> str:
    data = {"name": verdict.mutant.name, "killed": verdict.killed, "said": verdict.said}
    return json.dumps(data) + "\n"


def _as_text(verdict: Verdict) -> str:
    state = "killed  " if verdict.killed else "SURVIVED"
    test = verdict.mutant.killed_by.rpartition("/")[2]
    return f"{state}  {verdict.mutant.name}\n          {test}\n          {verdict.said}\n"


if __name__ == "__main__":
    sys.exit(main())

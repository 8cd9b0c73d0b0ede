"""``python -m tests.soak --jobs N --workers W``: a run in which everything dies all the time.

It prints what happened and what an independent judge says of it; the exit code is 0 if nothing
was lost, doubled, wrong, or leaked.
"""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from soak_options import Options, read_options
from soak_run import Soak, SoakFailed


def main() -> int:
    """Soak, print the table, and return the exit code."""
    options = read_options()
    for number in (signal.SIGTERM, signal.SIGINT):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup asks for
            signal.signal(number, leave)
    sys.stdout.write(f"seed {options.seed}\n")
    sys.stdout.flush()
    try:
        with place(options) as directory:
            verdict = Soak(options, directory).run()
    except SoakFailed as failure:
        sys.stdout.write(f"{failure}\n")
        return 2
    sys.stdout.write(table(verdict))
    if options.json is not None:
        options.json.write_text(json.dumps(verdict, indent=1) + "\n")
    return 1 if verdict["complaints"] else 0


def leave(number: int, frame: object) -> None:
    """End, and take all processes along; a second signal does not break into that."""
    for other in (signal.SIGTERM, signal.SIGINT):
        signal.signal(other, signal.SIG_IGN)
    sys.exit(128 + number)


@contextlib.contextmanager
def place(options: Options) -> Iterator[Path]:
    """Where to run: the directory that was asked for, or one for this time only."""
    if options.directory is not None:
        options.directory.mkdir(parents=True)
        yield options.directory
        return
    with tempfile.TemporaryDirectory(prefix="soak-") as directory:
        yield Path(directory)


def table(verdict: dict[str, Any]) -> str:
    """One line a figure, and then what is wrong."""
    rows: list[tuple[str, Any]] = []
    for name, value in verdict.items():
        if isinstance(value, dict):
            rows += [(f"{name}: {key}", inner) for key, inner in value.items()]
        elif name != "complaints":
            rows.append((name, value))
    lines = [f"{name:<32} {value}" for name, value in rows]
    complaints = verdict["complaints"]
    lines.append(f"{'complaints':<32} {len(complaints)}")
    return "\n".join([*lines, *complaints[:20]]) + "\n"


if __name__ == "__main__":
    sys.exit(main())

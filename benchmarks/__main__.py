"""``python -m benchmarks NAME [options]``: the benchmarks that compare optimizers."""

from __future__ import annotations

import sys

from benchmarks.demo import main as demo
from benchmarks.executors import main as executors
from benchmarks.folder import main as folder
from benchmarks.quality.command import main as quality
from benchmarks.suggestion import main as suggestion
from benchmarks.trainings.command import main as trainings
from benchmarks.trip import main as trip
from benchmarks.views import main as views

COMMANDS = {
    "quality": quality,
    "suggestion": suggestion,
    "trainings": trainings,
    "demo": demo,
    "executors": executors,
    "folder": folder,
    "trip": trip,
    "views": views,
}


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        raise SystemExit(f"usage: python -m benchmarks {'|'.join(COMMANDS)} [options]")
    COMMANDS[sys.argv[1]](sys.argv[2:])


if __name__ == "__main__":
    main()

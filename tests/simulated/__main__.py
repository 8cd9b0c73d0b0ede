"""``python -m tests.simulated``: simulate many runs, and print what went wrong in them.

``--seeds 100000 --first 0 --jobs 2`` runs so many seeds; ``--seed 1234`` runs one again, and
shows its mixture of faults.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from swarm_draw import draw
from swarm_world import play

PROGRESS_EVERY_S = 10.0
CHUNK = 20


def try_seed(seed: int) -> tuple[int, Counter[str], str]:
    """Run a seed; returns it, the faults it had, and what was violated, if anything."""
    logging.disable(logging.CRITICAL)
    try:
        return seed, play(seed), ""
    except Exception as error:  # noqa: BLE001  (whatever it is, it is a finding)
        return seed, Counter(), f"{type(error).__name__}: {error}"


def main() -> int:
    """Run the seeds that were asked for; returns 1 if one failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulated", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first one")
    parser.add_argument("--jobs", type=int, default=1, help="how many processes")
    parser.add_argument("--seed", type=int, help="this one only, with its traceback")
    options = parser.parse_args()
    if options.seed is not None:
        return show(options.seed)
    seeds = range(options.first, options.first + options.seeds)
    if options.jobs == 1:
        return tell(map(try_seed, seeds), len(seeds))
    with multiprocessing.get_context("fork").Pool(options.jobs) as pool:
        return tell(pool.imap_unordered(try_seed, seeds, CHUNK), len(seeds))


def show(seed: int) -> int:
    """Run one seed and tell all of it."""
    _say(str(draw(seed)))
    try:
        _table(play(seed))
    except Exception:  # noqa: BLE001
        traceback.print_exc()
        return 1
    return 0


def tell(tried: Iterable[tuple[int, Counter[str], str]], total: int) -> int:
    """Print progress, and at the end what happened, what was violated, and what that bounds."""
    happened: Counter[str] = Counter()
    failed: list[int] = []
    began = told = time.monotonic()
    for number, (seed, faults, why) in enumerate(tried, start=1):
        happened += faults
        if why:
            failed.append(seed)
            _say(f"seed {seed}: {why}\n  again: python -m tests.simulated --seed {seed}")
        if time.monotonic() - told > PROGRESS_EVERY_S:
            told = time.monotonic()
            speed = number / (told - began)
            _say(f"{number} of {total} runs, {speed:.1f}/s, {len(failed)} failed")
    _table(happened)
    _say(f"{total} runs in {time.monotonic() - began:.0f} s, {len(failed)} failed: {failed}")
    if not failed:
        _say(f"with 95 % confidence fewer than {3 / total:.2g} of all runs fail (3/n)")
    return int(bool(failed))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _table(happened: Counter[str]) -> None:
    for name, count in sorted(happened.items(), key=lambda pair: (-pair[1], pair[0])):
        _say(f"{count:10d}  {name}")


if __name__ == "__main__":
    sys.exit(main())

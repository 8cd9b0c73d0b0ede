"""``python -m tests.fuzz``: try very many inputs on every decoder, and keep those that fail."""

from __future__ import annotations

import argparse
import logging
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import fuzz_registry
from fuzz_engines import ENGINES, Outcome, has_atheris

TARGETS = fuzz_registry.TARGETS


def main() -> int:
    """Print a line for each target; returns 1 if one failed."""
    options = _options()
    logging.disable(logging.CRITICAL)  # Pyro4 tells of each bad message
    try:
        if options.replay is not None:
            for name in options.target:
                TARGETS[name].try_input(options.replay.read_bytes())
            _say(f"{options.replay} fails no more")
            return 0
        failed = 0
        for name in options.target or TARGETS:
            outcome = ENGINES[options.engine](
                TARGETS[name], options.seconds, options.failures, options.seed
            )
            failed += bool(outcome.failures)
            _tell(name, outcome)
        return int(failed > 0)
    finally:
        fuzz_registry.close()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--target", action="append", choices=TARGETS, help="default: all")
    parser.add_argument("--seconds", type=float, default=60.0, help="for each target")
    parser.add_argument("--engine", choices=ENGINES, help="default: atheris, else mutation")
    parser.add_argument("--seed", type=int, default=random.randrange(2**30))
    parser.add_argument("--failures", type=Path, default=Path("fuzz-failures"), metavar="DIR")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="try one input again")
    options = parser.parse_args()
    if options.replay and not options.target:
        parser.error("--replay needs --target")
    if options.engine != "mutation" and options.engine != "hypothesis" and not has_atheris():
        _say("atheris cannot be imported (pip install atheris): the mutation engine is used")
        options.engine = "mutation"
    options.engine = options.engine or "atheris"
    options.target = options.target or []
    _say(f"engine {options.engine}, seed {options.seed}, {options.seconds:g} s a target")
    return options


def _tell(name: str, outcome: Outcome) -> None:
    rate = outcome.executions / max(outcome.seconds, 1e-9)
    _say(
        f"{name:40} {outcome.executions:>9,} executions {rate:>7,.0f}/s "
        f"{outcome.coverage:>5} places new {len(outcome.failures):>3} failures"
    )
    for path, said in outcome.failures:
        _say(f"    {said}\n    python -m tests.fuzz --target {name!r} --replay {path}")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

"""One target under atheris: ``python fuzz_atheris.py TARGET [options of libFuzzer]``."""

from __future__ import annotations

import random
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["hpdist", "Pyro4.message"]):
    from fuzz_registry import TARGETS

from fuzz_mutation import mutant
from fuzz_target import MAX_INPUT


def main() -> None:
    """Fuzz until the time is over; a failure ends the process."""
    target = TARGETS[sys.argv[1]]

    def change(data: bytes, longest: int, seed: int) -> bytes:
        """Half of the time by structure, else as libFuzzer likes it."""
        chance = random.Random(seed)
        if chance.random() < 0.5:
            return mutant(chance, (data, *target.seeds), target.form, min(longest, MAX_INPUT))
        changed: bytes = atheris.Mutate(data, len(data))
        return changed

    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(target.seeds):
            Path(corpus, str(number)).write_bytes(seed)
        atheris.Setup([sys.argv[0], *sys.argv[2:], corpus], target.try_input, custom_mutator=change)
        atheris.Fuzz()


if __name__ == "__main__":
    main()

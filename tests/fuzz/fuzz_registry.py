"""All that is fuzzed, by name."""

from __future__ import annotations

import fuzz_child
import fuzz_cli
import fuzz_files
import fuzz_pyro
import fuzz_wire

TARGETS = {
    target.name: target
    for module in (fuzz_wire, fuzz_pyro, fuzz_files, fuzz_child, fuzz_cli)
    for target in module.TARGETS
}


def close() -> None:
    """Give back what the targets hold open."""
    fuzz_pyro.close()
    fuzz_files.close()

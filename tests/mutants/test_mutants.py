"""The tests notice what they are there for: each mutant is killed by a named test."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from catalogue import MUTANTS
from controls import CONTROLS
from mutation import Mutant, mutated, original
from patterns import PlaceError

ROOT = Path(__file__).resolve().parents[2]

Verdicts = dict[str, dict[str, Any]]


def _named(mutant: Mutant) -> str:
    return mutant.name.replace(" ", "-")


TRIED = [
    pytest.param(mutant, id=_named(mutant), marks=[] if mutant.quick else pytest.mark.slow)
    for mutant in MUTANTS
]


def test_each_mutant_has_its_place_and_its_test() -> None:
    faults = [fault for mutant in (*MUTANTS, *CONTROLS) for fault in _faults(mutant)]
    assert not faults, "\n".join(faults)


def _faults(mutant: Mutant) -> Iterator[str]:
    for change in mutant.changes:
        try:
            if ast.dump(mutated(mutant, change)) == ast.dump(original(change)):
                yield f"mutant {mutant.name!r} changes nothing in {change.function}"
        except PlaceError as error:
            yield str(error)
    if len({(change.module, change.function) for change in mutant.changes}) < len(mutant.changes):
        yield f"mutant {mutant.name!r} has two changes of one function: only one would be made"
    file, _, test = mutant.killed_by.partition("::")
    if test.partition("[")[0] not in _tests_in(file):
        yield f"mutant {mutant.name!r}: there is no test {mutant.killed_by}"


@cache
def _tests_in(file: str) -> set[str]:
    """Return the names of the tests in a file; an empty one stands for the whole file."""
    if not (ROOT / file).exists():
        return set()
    body = ast.parse((ROOT / file).read_text()).body
    return {"", *(node.name for node in body if isinstance(node, ast.FunctionDef))}


def test_no_mutant_stands_twice_in_the_catalogue() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
    assert len({mutant.changes for mutant in MUTANTS}) == len(MUTANTS)


@pytest.fixture(scope="session")
def verdicts(request: pytest.FixtureRequest) -> Verdicts:
    """What became of each mutant that is asked for in this session: tried in one process."""
    asked = [item for item in request.session.items if "verdicts" in item.fixturenames]
    names = [item.callspec.params["mutant"].name for item in asked]
    command = [sys.executable, "-m", "tests.mutants", "--json", *names]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    told = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(told) == len(names), done.stdout + done.stderr
    return {verdict["name"]: verdict for verdict in told}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("mutant", TRIED)
def test_the_mutant_is_killed(mutant: Mutant, verdicts: Verdicts) -> None:
    assert verdicts[mutant.name]["killed"], verdicts[mutant.name]["said"]


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("mutant", "why"), CONTROLS.items(), ids=map(_named, CONTROLS))
def test_what_shows_nothing_does_not_count_as_killed(
    mutant: Mutant, why: str, verdicts: Verdicts
) -> None:
    assert not verdicts[mutant.name]["killed"]
    assert why in verdicts[mutant.name]["said"]

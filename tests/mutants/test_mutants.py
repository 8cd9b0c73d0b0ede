"""The tests notice what they are there for: each deliberate fault is found by a named test."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from catalogue import MUTANTS
from mutation import Mutant, MutatingLoader, StaleMutantError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def verdicts() -> dict[str, dict[str, Any]]:
    """What became of each mutant, by name: tried in one process that forks, to import once."""
    command = [sys.executable, "-m", "tests.mutants", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    told = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(told) == len(MUTANTS), done.stdout + done.stderr
    return {verdict["name"]: verdict for verdict in told}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "-"))
def test_the_fault_is_noticed(mutant: Mutant, verdicts: dict[str, dict[str, Any]]) -> None:
    verdict = verdicts[mutant.name]
    assert verdict["killed"], verdict["said"]


def test_no_fault_stands_twice_in_the_catalogue() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
    assert len({mutant.changes for mutant in MUTANTS}) == len(MUTANTS)


@pytest.mark.parametrize("text", ["this was never written", "return"])
def test_a_fault_whose_place_is_gone_or_there_twice_is_stale(text: str) -> None:
    path = str(ROOT / "hpdist" / "retrying.py")
    loader = MutatingLoader("hpdist.core.dispatch.retry", path, [(text, "")])
    with pytest.raises(StaleMutantError, match=text):
        loader.get_code("hpdist.core.dispatch.retry")


def test_a_fault_that_no_test_notices_survives() -> None:
    code = (
        "import sys; sys.path.insert(0, 'tests/mutants')\n"
        "from mutation import Mutant; from runner import judge_all\n"
        "change = ('hpdist.core.dispatch.retry', 'if losses <= 1:', 'if losses < 2:')\n"
        "mutant = Mutant('none', (change,), 'tests/testing/test_simulate.py', '')\n"
        "print([(verdict.killed, verdict.said) for verdict in judge_all([mutant])])\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "(False, " in done.stdout, done.stdout + done.stderr
    assert "test_simulate.py passes" in done.stdout

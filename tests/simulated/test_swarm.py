"""300 mixtures of faults, each from one seed: nothing is lost, doubled, wrong or stuck in any."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import pytest
from swarm_draw import draw
from swarm_world import play

from hpdist.core.model.errors import HpdistError

SEEDS = 300
CHUNKS = 10
ROOT = Path(__file__).resolve().parents[2]

#: Seeds that failed once, and what they found.
PINNED = {
    6: "a second master that comes to the end of the search itself",
    71: "an operator's retry after the workers were sent home",
    1171: "an introduction to a dead master that reached the next one",
    2273: "a sync that failed for one process and was not told to the other",
    2412: "a master that woke from a full disk and cut off what its successor had written",
    2562: "a master that stood still before it cut a torn tail, and did so after its successor",
    10460: "a second master that came after the end and found the disk full",
    10559: "a job that was asked back again and again for a worker that may not run it",
    2606: "an order of a dead master that arrived after the next one was spoken to",
}


@pytest.fixture(autouse=True)
def no_log() -> Iterator[None]:
    """Masters of these runs end by the thousand, and each says why."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@lru_cache(None)
def played(seed: int) -> Counter[str]:
    """Run a seed once for all tests of this file."""
    try:
        return play(seed)
    except (AssertionError, HpdistError) as error:
        raise AssertionError(f"{error}\nagain: python -m tests.simulated --seed {seed}") from error


@pytest.mark.parametrize(
    "chunk",
    [pytest.param(chunk, marks=() if chunk == 1 else pytest.mark.slow) for chunk in range(CHUNKS)],
)
def test_nothing_is_lost_doubled_or_stuck_in_any_mixture_of_faults(chunk: int) -> None:
    runs = [played(seed) for seed in range(chunk, SEEDS, CHUNKS)]
    assert len(runs) == SEEDS // CHUNKS
    assert sum(map(Counter.total, runs)) > 0


@pytest.mark.parametrize("seed", PINNED, ids=str)
def test_a_seed_that_failed_once_does_not_fail_again(seed: int) -> None:
    assert played(seed).total() > 0, PINNED[seed]


@pytest.mark.slow
def test_what_is_thought_of_really_happens_in_these_runs() -> None:
    happened = sum((played(seed) for seed in range(100)), Counter())
    for name in (
        "worker killed", "worker frozen", "message lost", "message doubled", "clock jumped",
        "disk full", "write failed", "sync failed", "second master", "ended: another writer",
        "ended: Input/output error", "master killed at a look", "master killed at write",
        "master killed at sync", "master killed at open", "master killed at status",
        "machine lost, master at a look", "machine lost, master at status",
        "command pause", "command drain", "command stop", "command retry", "command extend",
        "command cancel",
    ):  # fmt: skip
        assert happened[name] > 0, f"{name} never happened: {happened}"


def test_the_mixtures_differ_and_some_are_serial_and_some_quiet() -> None:
    swarms = [draw(seed) for seed in range(SEEDS)]
    assert sum(swarm.serial for swarm in swarms) == SEEDS // 5
    assert sum(swarm.quiet and swarm.workers > 1 for swarm in swarms) >= 20
    assert {swarm.kind for swarm in swarms if swarm.serial} == {0, 1, 2, 3}
    assert len({swarm.faults for swarm in swarms}) == SEEDS


def test_one_seed_is_one_run() -> None:
    for seed in (3, 5, 11):
        assert play(seed) == play(seed)


def test_the_long_form_tells_counts_and_the_bound() -> None:
    command = [sys.executable, "-m", "tests.simulated", "--seeds", "6", "--first", "3"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 runs in" in done.stdout
    assert "0 failed: []" in done.stdout
    assert "fewer than 0.5 of all runs fail (3/n)" in done.stdout
